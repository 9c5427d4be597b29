import type { TrainerName } from '../config/trainOptions.ts'
import { atomicWrite } from '../io/atomicWrite.ts'
import { scheduleCurves } from '../train/plan/scheduleCurves.ts'
import { exitCodes } from '../util/errors.ts'
import { chartSvg, drawChart } from './chart.ts'
import type { CliHost } from './host.ts'

/**
 * `noisewright plot-schedule`: draws the learning rates of a run on the terminal, and with `--svg` into a file.
 *
 * @param trainer whose options they are
 * @param args options of the training; those about the rates matter
 * @returns the exit code
 * @throws ConfigError for wrong options, IoError when the file cannot be written
 */
export async function plotScheduleCommand(
  trainer: TrainerName,
  args: readonly string[],
  options: { readonly svg?: string | undefined },
  host: CliHost,
): Promise<number> {
  const { schedule, messages, curves } = await scheduleCurves(args, trainer)
  for (const message of messages) host.stderr.write(`note: ${message}\n`)
  const width = Math.min(120, host.stdout.columns ?? 80)
  const lines = drawChart(curves, { width, height: 14, colours: host.stdout.isTTY === true })
  host.stdout.write(`${[`learning rate by step: ${schedule}`, ...lines].join('\n')}\n`)
  if (options.svg !== undefined) {
    await atomicWrite(options.svg, chartSvg(curves, `learning rate: ${schedule}`))
    host.stdout.write(`saved ${options.svg}\n`)
  }
  return exitCodes.ok
}
