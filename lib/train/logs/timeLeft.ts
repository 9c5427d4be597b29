import type { PlannedWork, Recurrence, StartEvent, TrainEvent } from '../events.ts'

export interface TimeLeftOptions {
  /** Milliseconds of a clock that never jumps. Default: the process's. */
  readonly now?: () => number
}

type Work = keyof PlannedWork

/** How many durations a mean is taken of: the latest steps, and the latest saves, previews and so on. */
const rememberedSteps = 64
const rememberedWork = 8
/** A duration so many times the median is an accident (the machine slept, another program ran) and says nothing of the next. */
const accidental = 4

/**
 * How long a training still takes, from the times between its events. Steps are timed by themselves: what it takes to fill caches,
 * to save and to draw is not in their rate, but what is known to be due of it later is in the time left.
 *
 * A step's time is the mean of the latest, not of all: what slowed the first ones does not last. The mean and not the median, since
 * buckets of different sizes take different times; but without accidents. The first step of an epoch also waits for its pictures
 * and is kept apart; the very first is used only until there is another.
 */
export class TimeLeft {
  readonly #now: () => number
  readonly #steps = new Durations(rememberedSteps)
  readonly #firstSteps = new Durations(rememberedSteps)
  readonly #work = new Map<Work, Durations>()
  /** Milliseconds of each kind of work since the last step: several previews are one occasion. */
  readonly #sinceStep = new Map<Work, number>()
  #start: StartEvent | null = null
  /** When the last work that was timed ended. */
  #mark: number | null = null
  #warmUpMs: number | null = null
  #step = 0
  #totalSteps = 0
  #epoch = 0
  #epochsDone = 0
  #startsEpoch = false
  #ended = false

  constructor({ now = () => performance.now() }: TimeLeftOptions = {}) {
    this.#now = now
  }

  /** Takes up an event; to be called when it comes. */
  add(event: TrainEvent): void {
    switch (event.type) {
      case 'start':
        this.#start = event
        this.#totalSteps = event.totalSteps
        this.#elapsed()
        return
      case 'cache':
        this.#elapsed()
        return
      case 'epoch':
        this.#epoch = event.epoch
        // Those before the first of a run that goes on were done by another.
        this.#epochsDone = event.epoch - 1
        this.#startsEpoch = true
        this.#mark ??= this.#now()
        return
      case 'step':
        this.#step = event.step
        this.#totalSteps = event.totalSteps
        this.#addStep(this.#elapsed())
        return
      case 'epochEnd':
        this.#epochsDone = event.epoch
        return
      case 'save':
      case 'state':
      case 'preview':
      case 'validation':
        this.#sinceStep.set(event.type, (this.#sinceStep.get(event.type) ?? 0) + (this.#elapsed() ?? 0))
        return
      case 'end':
        this.#ended = true
        return
      case 'remove':
      case 'warning': // no work of its own: the time goes to what comes next
        return
      default:
        event satisfies never
    }
  }

  /** Of the latest steps, by themselves; null while there is none to go by. */
  get stepsPerSecond(): number | null {
    const ms = this.#stepMs
    return ms === null || ms === 0 ? null : 1000 / ms
  }

  /** Seconds until the end, with the work that is known to be due; null while there is no step to go by. */
  get seconds(): number | null {
    const stepMs = this.#stepMs
    if (this.#ended) return 0
    if (stepMs === null) return null
    const { epochCount = this.#epoch, planned = {} } = this.#start ?? {}
    const stepsLeft = Math.max(0, this.#totalSteps - this.#step)
    const firstsLeft = Math.min(stepsLeft, Math.max(0, epochCount - this.#epoch))
    const firstMs = this.#firstSteps.mean ?? stepMs
    let ms = (stepsLeft - firstsLeft) * stepMs + firstsLeft * firstMs
    for (const kind of ['save', 'state', 'preview', 'validation'] as const) {
      const recurrence = planned[kind]
      if (recurrence !== undefined) ms += this.#timesLeft(recurrence, epochCount) * this.#occasionMs(kind)
    }
    return ms / 1000
  }

  get #stepMs(): number | null {
    return this.#steps.mean ?? this.#firstSteps.mean ?? this.#warmUpMs
  }

  #addStep(ms: number | null): void {
    for (const [kind, spent] of this.#sinceStep) this.#durationsOf(kind).add(spent)
    this.#sinceStep.clear()
    const durations = this.#startsEpoch ? this.#firstSteps : this.#steps
    this.#startsEpoch = false
    if (ms === null) return
    if (this.#warmUpMs === null) this.#warmUpMs = ms
    else durations.add(ms)
  }

  /** Milliseconds since this was called last; null the first time. */
  #elapsed(): number | null {
    const now = this.#now()
    const ms = this.#mark === null ? null : now - this.#mark
    this.#mark = now
    return ms
  }

  #durationsOf(kind: Work): Durations {
    const known = this.#work.get(kind) ?? new Durations(rememberedWork)
    this.#work.set(kind, known)
    return known
  }

  /** What one time of the work takes; 0 before it was done once. */
  #occasionMs(kind: Work): number {
    return this.#durationsOf(kind).mean ?? this.#sinceStep.get(kind) ?? 0
  }

  /** What is due with the last step or epoch is the one at the end. */
  #timesLeft({ everySteps, everyEpochs, atEnd }: Recurrence, epochCount: number): number {
    const between = (done: number, total: number, every: number | null): number =>
      every === null ? 0 : Math.max(0, Math.floor((atEnd ? total - 1 : total) / every) - Math.floor(done / every))
    return (
      between(this.#step, this.#totalSteps, everySteps) +
      between(this.#epochsDone, epochCount, everyEpochs) +
      (atEnd ? 1 : 0)
    )
  }
}

/** The latest durations of one kind. */
class Durations {
  readonly #limit: number
  readonly #latest: number[] = []

  constructor(limit: number) {
    this.#limit = limit
  }

  add(ms: number): void {
    this.#latest.push(ms)
    if (this.#latest.length > this.#limit) this.#latest.shift()
  }

  /** Without accidents; null when nothing was added. */
  get mean(): number | null {
    if (this.#latest.length === 0) return null
    const sorted = this.#latest.toSorted((a, b) => a - b)
    const median = sorted[Math.floor((sorted.length - 1) / 2)]!
    const usual = sorted.filter((ms) => ms <= accidental * median)
    return usual.reduce((sum, ms) => sum + ms, 0) / usual.length
  }
}
