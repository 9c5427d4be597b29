import type { StartEvent, StepEvent, TrainEvent } from '../train/events.ts'
import { TimeLeft, type TimeLeftOptions } from '../train/logs/timeLeft.ts'
import { PreviewList, type ShownPreview } from './previewList.ts'
import { StepHistory, type StepRow, type StepTable } from './stepHistory.ts'

/** What the buttons ask for. */
export type DashboardRequest = 'preview' | 'save' | 'stop'

export type RunStatus = 'waiting' | 'preparing' | 'training' | 'finished' | 'interrupted' | 'failed'

/** Where the training is. */
export interface Progress {
  readonly status: RunStatus
  readonly step: number
  readonly totalSteps: number
  readonly epoch: number
  readonly epochCount: number
  readonly secondsLeft: number | null
  readonly stepsPerSecond: number | null
  readonly skippedSteps: number
  /** Of trainings in float16: what the loss is multiplied by, and steps skipped since a gradient overflowed. */
  readonly lossScaler: { readonly scale: number; readonly overflows: number } | null
  readonly cache: { readonly what: string; readonly done: number; readonly total: number } | null
  /** What was asked for and is not done yet. */
  readonly requested: readonly DashboardRequest[]
}

/** A line of the log: an event, or what somebody asked for on the page. */
export type LogEntry = { readonly time: string } & (
  | { readonly event: TrainEvent }
  | { readonly request: DashboardRequest }
)

/** What one event changes on the page. */
export interface RunUpdate {
  readonly progress: Progress
  readonly row?: StepRow
  readonly preview?: ShownPreview
  readonly log?: LogEntry
}

/** Everything the page shows. */
export interface RunSnapshot {
  readonly progress: Progress
  readonly history: StepTable
  readonly previews: readonly ShownPreview[]
  readonly log: readonly LogEntry[]
}

const rememberedEntries = 500

/** Follows a training for the page. */
export class RunState {
  readonly previews = new PreviewList()
  readonly #time: TimeLeft
  readonly #history = new StepHistory()
  readonly #log: LogEntry[] = []
  readonly #requested = new Set<DashboardRequest>()
  #start: StartEvent | null = null
  #step: StepEvent | null = null
  #epoch = 0
  #status: RunStatus = 'waiting'
  #cache: Progress['cache'] = null

  constructor(options: TimeLeftOptions = {}) {
    this.#time = new TimeLeft(options)
  }

  add(event: TrainEvent): RunUpdate {
    this.#time.add(event)
    this.#follow(event)
    const parts = this.#partsOf(event)
    return { progress: this.progress, ...parts }
  }

  /** Takes note of what somebody asks for. */
  request(request: DashboardRequest): RunUpdate {
    this.#requested.add(request)
    const log = this.#remember({ time: new Date().toISOString(), request })
    return { progress: this.progress, log }
  }

  /** There will be no further event. A training that did not say that it ended has failed. */
  close(): RunUpdate {
    if (this.#status !== 'finished' && this.#status !== 'interrupted') this.#status = 'failed'
    this.#requested.clear()
    return { progress: this.progress }
  }

  snapshot(): RunSnapshot {
    const { progress, previews } = this
    return { progress, history: this.#history.table(), previews: previews.all, log: this.#log }
  }

  get progress(): Progress {
    const { totalSteps = 0, epochCount = 0 } = this.#start ?? {}
    return {
      status: this.#status,
      step: this.#step?.step ?? 0,
      totalSteps: this.#step?.totalSteps ?? totalSteps,
      epoch: this.#epoch,
      epochCount,
      secondsLeft: this.#time.seconds,
      stepsPerSecond: this.#time.stepsPerSecond,
      skippedSteps: this.#step?.skippedSteps ?? 0,
      lossScaler: this.#step?.lossScaler ?? null,
      cache: this.#cache,
      requested: [...this.#requested],
    }
  }

  #follow(event: TrainEvent): void {
    if (event.type === 'start') {
      this.#start = event
      this.#status = 'preparing'
    } else if (event.type === 'cache') {
      const { what, done, total } = event
      this.#cache = { what, done, total }
    } else if (event.type === 'step') this.#step = event
    else if (event.type === 'preview' || event.type === 'save') this.#requested.delete(event.type)
    else if (event.type === 'end') {
      this.#status = event.reason
      this.#requested.clear()
    }
    if (event.type === 'epoch' || event.type === 'step') {
      this.#epoch = event.epoch
      this.#status = 'training'
      this.#cache = null
    }
  }

  #partsOf(event: TrainEvent): Omit<RunUpdate, 'progress'> {
    if (event.type === 'cache' || event.type === 'epoch') return {}
    if (event.type === 'step') return { row: this.#record(rowOf(event, this.#time.stepsPerSecond)) }
    const log = this.#remember({ time: new Date().toISOString(), event })
    if (event.type === 'preview') return { log, preview: this.previews.add(event) }
    if (event.type === 'validation') return { log, row: this.#record({ step: event.step, validation: event.loss }) }
    return { log }
  }

  #record(row: StepRow): StepRow {
    this.#history.add(row)
    return row
  }

  #remember(entry: LogEntry): LogEntry {
    this.#log.push(entry)
    if (this.#log.length > rememberedEntries) this.#log.shift()
    return entry
  }
}

function rowOf(event: StepEvent, stepsPerSecond: number | null): StepRow {
  const { step, loss, gradientNorm, learningRates, effectiveLearningRates, memory } = event
  const named = (prefix: string, rates: Readonly<Record<string, number>>): [string, number][] =>
    Object.entries(rates).map(([group, rate]) => [`${prefix}/${group}`, rate])
  return {
    step,
    loss,
    gradientNorm,
    stepsPerSecond,
    ...Object.fromEntries([...named('lr', learningRates), ...named('d*lr', effectiveLearningRates ?? {})]),
    ...(memory === undefined
      ? {}
      : {
          'memory/process': memory.processBytes,
          'memory/tensors': memory.liveBytes,
          'memory/peak': memory.peakBytes,
        }),
  }
}
