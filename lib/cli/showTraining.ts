/** Runs a training and shows it. */
import type { HubProgress } from '../hub/hubSnapshot.ts'
import { TrainingControls } from '../train/controls.ts'
import type { TrainEvent } from '../train/events.ts'
import { hubUploadSink } from '../train/logs/hubUploadSink.ts'
import { logEvents } from '../train/logs/logEvents.ts'
import type { LogSink } from '../train/logs/logSink.ts'
import { logSinks } from '../train/logs/logSinks.ts'
import type { TrainingKind } from '../train/method.ts'
import type { TrainConfig } from '../train/trainConfig.ts'
import { exitCodes } from '../util/errors.ts'
import { downloadLines } from './fileProgress.ts'
import type { CliHost } from './host.ts'
import { listenForInterrupts } from './interrupts.ts'
import { Messages } from './messages.ts'
import { createProgress } from './progress.ts'
import { describeEvent, isRemark } from './report.ts'
import { trainingDashboard } from './trainingDashboard.ts'

/** Starts a training. */
export type Train = (
  kind: TrainingKind,
  config: TrainConfig,
  options: {
    readonly signal: AbortSignal
    readonly controls: TrainingControls
    readonly onDownload: (progress: HubProgress) => void
  },
) => AsyncIterable<TrainEvent>

export interface ShowTrainingOptions {
  /** Default: `train` of lib/train. */
  readonly train?: Train | undefined
  /** Sees every event before it is shown. */
  readonly onEvent?: (event: TrainEvent) => void
  /** Serves a page that shows the training. Its port; 0: any free one. Default: no page. */
  readonly dashboardPort?: number | undefined
  /** Where it tells how it goes. Default: the console. */
  readonly messages?: Messages | undefined
}

/** @returns the exit code: ok, or interrupted */
export async function showTraining(
  kind: TrainingKind,
  config: TrainConfig,
  host: CliHost,
  { train, onEvent = () => {}, dashboardPort, messages: given }: ShowTrainingOptions = {},
): Promise<number> {
  const messages = given ?? (await Messages.open(host))
  const start: Train = train ?? (await import('../train/train.ts')).train
  const controls = new TrainingControls()
  const stop = new AbortController()
  const dashboard =
    dashboardPort === undefined
      ? null
      : await trainingDashboard(config, { port: dashboardPort, controls, stop: () => stop.abort() })
  if (dashboard !== null) host.stdout.write(`${dashboard.url} shows the training\n`)
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
    const signal = AbortSignal.any([interrupts.signal, stop.signal])
    const events = start(kind, config, { signal, controls, onDownload: downloadLines(host) })
    const sinks = [...logSinks(config.logging), ...hubSinks(config), ...(dashboard === null ? [] : [dashboard.sink])]
    for await (const event of logEvents(events, sinks)) {
      onEvent(event)
      if (event.type === 'end') {
        progress.stop()
        interrupted = event.reason === 'interrupted'
      }
      const lines = [...describeEvent(event)]
      if (event.type === 'start' && config.logging.folder !== null) {
        lines.push(`logs are written under ${config.logging.folder}`)
      }
      const kind = isRemark(event) ? 'warning' : 'report'
      if (lines.length > 0 && messages.showsOnConsole(kind)) progress.clear()
      messages.write(kind, lines)
      progress.update(event)
    }
  } finally {
    progress.stop()
    interrupts.stop()
    await dashboard?.close()
  }
  return interrupted ? exitCodes.interrupted : exitCodes.ok
}

function hubSinks({ hub }: TrainConfig): readonly LogSink[] {
  if (hub === undefined || hub.repository === null) return []
  return [hubUploadSink({ ...hub, repository: hub.repository, token: hub.token ?? undefined })]
}
