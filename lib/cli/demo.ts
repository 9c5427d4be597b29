import { prepareDemo } from '../demo/demo.ts'
import { networkTraining } from '../train/methods/trainNetwork.ts'
import { exitCodes } from '../util/errors.ts'
import { formatLoss } from './format.ts'
import type { CliHost } from './host.ts'
import { showTraining, type Train } from './showTraining.ts'

export interface DemoCommandOptions {
  readonly folder: string
  readonly epochs?: number | undefined
  readonly seed?: number | undefined
  /** Default: the trainer. */
  readonly train?: Train | undefined
}

/** `noisewright demo`. @returns the exit code */
export async function demoCommand({ folder, train, ...options }: DemoCommandOptions, host: CliHost): Promise<number> {
  host.stdout.write(`making pictures and a tiny model in ${folder}\n`)
  const config = await prepareDemo(folder, options)
  const epochs: number[] = []
  const written: string[] = []
  const exitCode = await showTraining(networkTraining, config, host, {
    train,
    onEvent: (event) => {
      if (event.type === 'epochEnd') epochs.push(event.averageLoss)
      else if (event.type === 'save' || event.type === 'preview') written.push(event.path)
    },
  })
  const lines = ['', 'Written:', ...[...new Set(written)].map((path) => `  ${path}`)]
  if (epochs.length > 0) {
    lines.push(`Average loss: ${formatLoss(epochs[0]!)} in the first epoch, ${formatLoss(epochs.at(-1)!)} in the last`)
  }
  lines.push(
    'The tiny model starts from random weights, so its pictures show nothing recognisable: the demo shows that',
    'training works and what it writes, not what a LoRA of a real model draws.',
  )
  if (exitCode === exitCodes.ok) host.stdout.write(lines.map((line) => `${line}\n`).join(''))
  return exitCode
}
