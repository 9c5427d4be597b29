/** Step and epoch arithmetic, and the moving average that the progress display shows. */

export interface StepPlan {
  readonly totalSteps: number
  readonly epochCount: number
}

/**
 * `maxEpochs` wins over `maxSteps`. An epoch has ceil(batches / accumulation) optimizer steps: its last, shorter group counts as one.
 */
export function planSteps(
  batchesPerEpoch: number,
  {
    maxSteps,
    maxEpochs,
    gradientAccumulationSteps,
  }: { maxSteps: number; maxEpochs: number | null; gradientAccumulationSteps: number },
): StepPlan {
  const stepsPerEpoch = Math.ceil(batchesPerEpoch / gradientAccumulationSteps)
  const totalSteps = maxEpochs === null ? maxSteps : maxEpochs * stepsPerEpoch
  return { totalSteps, epochCount: Math.ceil(totalSteps / stepsPerEpoch) }
}

/**
 * The mean of the latest losses, one for each step of an epoch: in later epochs each replaces its predecessor of the epoch before. A
 * loss that is not finite, of a step that was skipped, replaces nothing.
 */
export class LossAverage {
  /** Null where no loss was finite. */
  readonly #losses: (number | null)[] = []
  #sum = 0
  #count = 0

  /** @param position step within the epoch, from 0 */
  add(position: number, loss: number): void {
    const before = this.#losses[position] ?? null
    if (!Number.isFinite(loss)) {
      this.#losses[position] = before
      return
    }
    this.#sum += loss - (before ?? 0)
    if (before === null) this.#count++
    this.#losses[position] = loss
  }

  /** NaN when no loss was finite; 0 before the first. */
  get value(): number {
    return this.#losses.length === 0 ? 0 : this.#sum / this.#count
  }

  /** What `restore` takes. */
  get state(): { readonly losses: readonly (number | null)[]; readonly sum: number } {
    return { losses: [...this.#losses], sum: this.#sum }
  }

  /** Goes on from an earlier run, to the last bit. */
  restore({ losses, sum }: LossAverage['state']): void {
    this.#losses.splice(0, Number.POSITIVE_INFINITY, ...losses)
    this.#count = losses.filter((loss) => loss !== null).length
    this.#sum = sum
  }
}

/** When something is written: after an epoch, counted from 1, or after an optimizer step. */
export type Moment = { readonly epoch: number } | { readonly step: number }

export function isDue(count: number, every: number | null): boolean {
  return every !== null && count % every === 0
}

/**
 * What a save makes superfluous: of saves every `every` epochs or steps, those of the last `keep` epochs or steps stay.
 * @returns null when nothing is
 */
export function expiredName(at: Moment, every: number, keep: number | null): Moment | null {
  if (keep === null) return null
  if ('epoch' in at) {
    const epoch = at.epoch - every * keep
    return epoch > 0 ? { epoch } : null
  }
  const latest = at.step - keep - 1
  const step = latest - (((latest % every) + every) % every)
  return step > 0 ? { step } : null
}

/** Names of what a run writes. `ext` includes the dot. */
export function outputName(name: string | null, at: Moment | 'end', ext: string): string {
  if (at === 'end') return `${name ?? 'last'}${ext}`
  if ('epoch' in at) return `${name ?? 'epoch'}-${String(at.epoch).padStart(6, '0')}${ext}`
  return `${name ?? 'at'}-step${String(at.step).padStart(8, '0')}${ext}`
}
