import type { TrainEvent } from '../events.ts'

/**
 * Takes up what a training reports: a file, a service, a page. Any object of this form does:
 *
 *   const mine: LogSink = { name: 'mine', event: (event) => { if (event.type === 'step') plot(event.step, event.loss) } }
 *
 * The training waits for each promise before it goes on, so that what takes long belongs in a queue of the sink's own.
 */
export interface LogSink {
  /** Names it in warnings: `tensorboard`. */
  readonly name: string
  /** Called once, when the training begins. What fails here ends the training, which has not done anything yet. */
  start?(context: LogContext): Promise<void> | void
  /** Called for every event, one after the other. What fails here is counted and reported, and the training goes on. */
  event(event: TrainEvent): Promise<void> | void
  /** Called once if the sink was started, however the training ends. */
  close?(): Promise<void> | void
}

/** What a sink is given. */
export interface LogContext {
  /** Tells of something that went wrong between the calls; the training reports it as a warning with its next event. */
  warn(message: string): void
}

/** A sink that cannot hurt the training: its failures are counted, and told of twice at most. */
export class GuardedSink {
  readonly #sink: LogSink
  readonly #warnings: string[] = []
  #state: 'new' | 'started' | 'closed' = 'new'
  #failures = 0

  constructor(sink: LogSink) {
    this.#sink = sink
  }

  /** @throws what the sink throws */
  async start(): Promise<void> {
    await this.#sink.start?.({ warn: (message) => this.#warnings.push(message) })
    this.#state = 'started'
  }

  async take(event: TrainEvent): Promise<void> {
    if (this.#state !== 'started') return
    try {
      await this.#sink.event(event)
    } catch (error) {
      this.#failures++
      if (this.#failures === 1)
        this.#warnings.push(`${this.#failed(error)}. The training goes on without what it misses`)
    }
  }

  async close(): Promise<void> {
    if (this.#state !== 'started') return
    this.#state = 'closed'
    try {
      await this.#sink.close?.()
    } catch (error) {
      this.#warnings.push(this.#failed(error))
    }
    if (this.#failures > 1) this.#warnings.push(`the ${this.#sink.name} log misses ${this.#failures} events`)
  }

  /** Warnings since the last call. */
  takeWarnings(): readonly string[] {
    return this.#warnings.splice(0)
  }

  #failed(error: unknown): string {
    return `the ${this.#sink.name} log failed: ${error instanceof Error ? error.message : String(error)}`
  }
}
