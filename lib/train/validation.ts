/** The loss on pictures that are not trained on: always the same pictures, timesteps and noise, so that only the model changes it. */
import type { TrainingMethod } from './method.ts'
import { isDue } from './plan/schedule.ts'
import type { TrainingStep } from './step/trainingStep.ts'
import type { TrainBatches } from './trainBatches.ts'
import type { TrainConfig } from './trainConfig.ts'

/** Timesteps that every picture is measured at. */
const timestepCount = 4

/** Equally spaced inside of the range that is trained: 200, 400, 600 and 800 of all. */
export function validationTimesteps({ minTimestep, maxTimestep }: NonNullable<TrainConfig['noise']> = {}): number[] {
  const [first, end] = [minTimestep ?? 0, maxTimestep ?? 1000]
  return Array.from({ length: timestepCount }, (_, i) =>
    Math.floor(first + ((end - first) * (i + 1)) / (timestepCount + 1)),
  )
}

export class Validation {
  readonly #step: TrainingStep
  readonly #method: TrainingMethod
  readonly #batches: TrainBatches
  readonly #timesteps: readonly number[]
  readonly #due: { readonly step: number | null; readonly epoch: number | null }
  readonly #maxBatches: number

  /** @param batches of the pictures held out */
  constructor(step: TrainingStep, method: TrainingMethod, batches: TrainBatches, { noise, validation }: TrainConfig) {
    const { everySteps = null, everyEpochs = null, maxBatches = null } = validation ?? {}
    this.#step = step
    this.#method = method
    this.#batches = batches
    this.#timesteps = validationTimesteps(noise)
    this.#due = { step: everySteps, epoch: everyEpochs ?? (everySteps === null ? 1 : null) }
    this.#maxBatches = maxBatches ?? Number.POSITIVE_INFINITY
  }

  isDue(by: 'step' | 'epoch', count: number): boolean {
    return isDue(count, this.#due[by])
  }

  /** The mean over all pictures and timesteps. */
  async measure(): Promise<number> {
    this.#method.setTraining?.(false)
    let [sum, count] = [0, 0]
    try {
      // Epoch 0 is never trained: its random numbers are free.
      const progress = { firstStep: 0, batchesPerStep: 1, totalSteps: 0 }
      for await (const batch of this.#batches.epoch(0, progress)) {
        try {
          for (const t of this.#timesteps) {
            const timesteps = batch.captions.map(() => t)
            sum += (await this.#step.evaluate(batch, timesteps)) * batch.captions.length
            count += batch.captions.length
          }
        } finally {
          batch.latents.dispose()
        }
        if (batch.key.batch + 1 >= this.#maxBatches) break
      }
    } finally {
      this.#method.setTraining?.(true)
    }
    return sum / count
  }
}
