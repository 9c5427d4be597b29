import { join, resolve } from 'node:path'
import { type DemoOptions, prepareDemo } from '../demo/demo.ts'
import { writeDemoPage } from '../demo/page.ts'
import type { PreviewEvent } from '../train/events.ts'
import { parseTraining } from '../train/options/parseTraining.ts'
import { trainings } from '../train/trainings.ts'
import { exitCodes } from '../util/errors.ts'
import { chartSvg } from './chart.ts'
import type { CliHost } from './host.ts'
import { showTraining, type Train } from './showTraining.ts'

export interface DemoCommandOptions extends DemoOptions {
  readonly folder: string
  /** Default: the trainer. */
  readonly train?: Train | undefined
}

/** Losses are shown as means of so many steps. */
const smoothing = 20

/** `noisewright demo`. @returns the exit code */
export async function demoCommand({ folder, train, ...options }: DemoCommandOptions, host: CliHost): Promise<number> {
  host.stdout.write(`making pictures and options of a training in ${folder}\n`)
  const { trainer, configFile, prompts } = await prepareDemo(folder, options)
  host.stdout.write(`noisewright ${trainer} --config_file ${configFile}\n`)
  const { config } = await parseTraining(trainer, ['--config_file', configFile])
  const losses: number[] = []
  const previews: PreviewEvent[] = []
  let saved = ''
  const exitCode = await showTraining(trainings[trainer], config, host, {
    train,
    onEvent: (event) => {
      if (event.type === 'step') losses.push(event.loss)
      else if (event.type === 'preview') previews.push(event)
      else if (event.type === 'save') saved = event.path
    },
  })
  if (exitCode !== exitCodes.ok) return exitCode
  const chart = chartSvg([{ name: `mean of ${smoothing} steps`, values: smoothed(losses) }], 'Loss')
  const written = await writeDemoPage(resolve(folder), { command: trainer, prompts, previews, chart })
  const lines = ['', 'Written:', ...[saved, join(folder, 'train.toml'), ...written].map((path) => `  ${path}`)]
  host.stdout.write(lines.map((line) => `${line}\n`).join(''))
  return exitCode
}

/** For each step the mean of the steps that ended with it. */
function smoothed(losses: readonly number[]): number[] {
  return losses.map((_, i) => {
    const latest = losses.slice(Math.max(0, i + 1 - smoothing), i + 1)
    return latest.reduce((sum, loss) => sum + loss, 0) / latest.length
  })
}
