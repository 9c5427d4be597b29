import { describe, expect, it } from 'vitest'
import type { PlannedWork, StartEvent, TrainEvent } from '../../../lib/train/events.ts'
import { TimeLeft } from '../../../lib/train/logs/timeLeft.ts'

/** A training whose events come when the test says, on a clock of its own. */
class Script {
  #now = 1e6
  readonly time = new TimeLeft({ now: () => this.#now })
  #step: number
  readonly #total: number
  readonly #epochs: number

  /** @param done steps of a run before */
  constructor(
    totalSteps: number,
    { epochs = 1, planned, done = 0 }: { epochs?: number; planned?: PlannedWork; done?: number } = {},
  ) {
    this.#step = done
    this.#total = totalSteps
    this.#epochs = epochs
    const start: Omit<StartEvent, 'planned'> = {
      type: 'start',
      seed: 1,
      totalSteps,
      epochCount: epochs,
      batchesPerEpoch: totalSteps / epochs,
      trainImageCount: 1,
      regImageCount: 0,
      trainableParameters: 1,
      moduleCount: 1,
      report: [],
    }
    this.after(0, { ...start, planned })
  }

  after(seconds: number, event: TrainEvent): this {
    this.#now += 1000 * seconds
    this.time.add(event)
    return this
  }

  epoch(epoch: number): this {
    return this.after(0, { type: 'epoch', epoch, epochCount: this.#epochs })
  }

  /** Steps that take so many seconds each. */
  steps(...seconds: number[]): this {
    for (const each of seconds)
      this.after(each, {
        type: 'step',
        step: ++this.#step,
        totalSteps: this.#total,
        epoch: 1,
        loss: 1,
        averageLoss: 1,
        learningRates: {},
        effectiveLearningRates: null,
        gradientNorm: 1,
        skippedSteps: 0,
        stepsPerSecond: 1,
      })
    return this
  }

  save(seconds: number): this {
    return this.after(seconds, { type: 'save', path: 'a', step: this.#step, epoch: 1, bytes: 1 })
  }

  preview(seconds: number): this {
    return this.after(seconds, { type: 'preview', path: 'a', prompt: 'p', step: this.#step, epoch: 1 })
  }
}

const times = (count: number, seconds: number): number[] => Array.from({ length: count }, () => seconds)

describe('TimeLeft', () => {
  it('knows nothing before the first step, and goes by that step until there is another', () => {
    const script = new Script(10).epoch(1)
    expect([script.time.seconds, script.time.stepsPerSecond]).toEqual([null, null])
    script.steps(30)
    expect([script.time.seconds, script.time.stepsPerSecond]).toEqual([270, 1 / 30])
    script.steps(2)
    expect([script.time.seconds, script.time.stepsPerSecond]).toEqual([16, 1 / 2])
  })

  it('is not misled by slow first steps and the filling of caches', () => {
    const script = new Script(1000)
    script.after(600, { type: 'cache', what: 'pictures', done: 8, total: 8, reused: 0, perSecond: 1 })
    script.epoch(1).steps(60, 4, 3, ...times(97, 1))
    expect(script.time.seconds).toBe(900)
    expect(script.time.stepsPerSecond).toBe(1)
  })

  it('follows a rate that changes for good', () => {
    const script = new Script(1000).epoch(1).steps(...times(100, 1), ...times(100, 2))
    expect(script.time.stepsPerSecond).toBe(1 / 2)
    expect(script.time.seconds).toBe(1600)
  })

  it('takes the mean of steps of different sizes, not the most frequent', () => {
    const mixed = Array.from({ length: 64 }, (_, i) => (i % 4 === 0 ? 3 : 1))
    expect(new Script(164).epoch(1).steps(9, ...mixed).time.seconds).toBeCloseTo(99 * 1.5)
  })

  it('passes over accidents', () => {
    const script = new Script(100).epoch(1).steps(1, ...times(20, 1), 3600, ...times(8, 1))
    expect(script.time.seconds).toBe(70)
  })

  it('keeps what it takes to begin an epoch apart', () => {
    const script = new Script(40, { epochs: 4 })
    script.epoch(1).steps(50, ...times(9, 1))
    script.epoch(2).steps(11, ...times(9, 1))
    expect(script.time.stepsPerSecond).toBe(1)
    expect(script.time.seconds).toBe(2 * (11 + 9))
  })

  it('gets along with epochs of a single step', () => {
    const script = new Script(10, { epochs: 10 })
    for (let epoch = 1; epoch <= 4; epoch++) script.epoch(epoch).steps(epoch === 1 ? 9 : 2)
    expect(script.time.stepsPerSecond).toBe(1 / 2)
    expect(script.time.seconds).toBe(12)
  })

  it('keeps saves and previews out of the rate', () => {
    const script = new Script(100).epoch(1)
    for (let i = 0; i < 10; i++) script.steps(1).save(20).preview(30)
    expect(script.time.stepsPerSecond).toBe(1)
    expect(script.time.seconds).toBe(90)
  })

  it('adds the saves and previews that are still due', () => {
    const every10 = { everySteps: 10, everyEpochs: null, atEnd: false }
    const planned = { save: { ...every10, atEnd: true }, preview: every10 }
    const script = new Script(100, { planned }).epoch(1).steps(5, ...times(9, 1))
    expect(script.time.seconds).toBe(90) // nobody knows yet what a save takes
    script.save(20)
    expect(script.time.seconds).toBe(90 + 9 * 20) // at 20, 30, ... 90, and at the end
    script.preview(3).preview(4)
    expect(script.time.seconds).toBe(90 + 9 * 20 + 9 * 7)
    script
      .steps(...times(10, 1))
      .save(30)
      .preview(3)
      .preview(4)
      .steps(1)
    expect(script.time.seconds).toBe(79 + 8 * 25 + 8 * 7)
  })

  it('adds what is due by epochs', () => {
    const planned = { save: { everySteps: null, everyEpochs: 2, atEnd: true } }
    const script = new Script(60, { epochs: 6, planned })
    script
      .epoch(1)
      .steps(...times(10, 1))
      .after(0, { type: 'epochEnd', epoch: 1, averageLoss: 1 })
    script
      .epoch(2)
      .steps(...times(10, 1))
      .after(0, { type: 'epochEnd', epoch: 2, averageLoss: 1 })
      .save(5)
    expect(script.time.seconds).toBe(40 + 2 * 5) // after epoch 4, and at the end
  })

  it('adds nothing for epochs before a state that a run goes on from', () => {
    const planned = { save: { everySteps: null, everyEpochs: 2, atEnd: true } }
    const script = new Script(60, { epochs: 6, planned, done: 40 })
      .epoch(5)
      .steps(...times(2, 1))
      .save(5)
      .steps(1)
    expect(script.time.seconds).toBe(17 + 5) // at the end; those after epochs 2 and 4 are made
  })

  it('does not count warnings as work', () => {
    const script = new Script(10).epoch(1).steps(1, 1).after(0.5, { type: 'warning', message: 'w' }).steps(0.5)
    expect(script.time.seconds).toBe(7)
  })

  it('has no time left after the end', () => {
    const script = new Script(10).epoch(1).steps(1).after(0, { type: 'end', reason: 'interrupted', step: 1, path: 'a' })
    expect(script.time.seconds).toBe(0)
  })
})
