/** Runs a training and shows it. */
import type { HubProgress } from '../hub/resolveHubModel.ts'
import type { TrainEvent } from '../train/events.ts'
import { logEvents } from '../train/logs/logEvents.ts'
import { logSinks } from '../train/logs/logSinks.ts'
import type { TrainNetworkConfig } from '../train/trainNetworkConfig.ts'
import { exitCodes } from '../util/errors.ts'
import { downloadLines } from './fileProgress.ts'
import type { CliHost } from './host.ts'
import { listenForInterrupts } from './interrupts.ts'
import { createProgress } from './progress.ts'
import { describeEvent, isRemark } from './report.ts'

/** Starts a training. */
export type Train = (
  config: TrainNetworkConfig,
  options: { readonly signal: AbortSignal; readonly onDownload: (progress: HubProgress) => void },
) => AsyncIterable<TrainEvent>

export interface ShowTrainingOptions {
  /** Default: `trainNetwork`. */
  readonly train?: Train | undefined
  /** Sees every event before it is shown. */
  readonly onEvent?: (event: TrainEvent) => void
}

/** @returns the exit code: ok, or interrupted */
export async function showTraining(
  config: TrainNetworkConfig,
  host: CliHost,
  { train, onEvent = () => {} }: ShowTrainingOptions = {},
): Promise<number> {
  const start: Train = train ?? (await import('../train/trainNetwork.ts')).trainNetwork
  const progress = await createProgress(host.stderr)
  const interrupts = listenForInterrupts(host, {
    onFirst: () => {
      progress.clear()
      host.stderr.write('stopping: the step under way is finished and saved; interrupt again to end at once\n')
    },
    onSecond: () => progress.stop(),
  })
  let interrupted = false
  try {
    for await (const event of logEvents(
      start(config, { signal: interrupts.signal, onDownload: downloadLines(host) }),
      logSinks(config.logging),
    )) {
      onEvent(event)
      if (event.type === 'end') {
        progress.stop()
        interrupted = event.reason === 'interrupted'
      }
      const lines = [...describeEvent(event)]
      if (event.type === 'start' && config.logging.folder !== null) {
        lines.push(`event files for TensorBoard are written under ${config.logging.folder}`)
      }
      if (lines.length > 0) {
        progress.clear()
        const stream = isRemark(event) ? host.stderr : host.stdout
        stream.write(lines.map((line) => `${line}\n`).join(''))
      }
      progress.update(event)
    }
  } finally {
    progress.stop()
    interrupts.stop()
  }
  return interrupted ? exitCodes.interrupted : exitCodes.ok
}
