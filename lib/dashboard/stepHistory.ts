/** Values of one step by the names of their columns; null for one that is not finite or not known. */
export type StepRow = { readonly step: number } & Readonly<Record<string, number | null>>

/** The columns of a table with a row for each step, or for some that follow each other: `step` is the last of them. */
export interface StepTable {
  /** Steps to a row. */
  readonly stride: number
  readonly columns: Readonly<Record<string, readonly (number | null)[]>>
}

/** Values of the steps whose number divided by the stride is the same. */
interface Bucket {
  step: number
  readonly means: Map<string, { sum: number; count: number }>
  readonly loss: { least: number; most: number }
}

/** Digits kept for the page: more than a screen can show. */
const shownDigits = 6

/**
 * The history of a training in bounded memory. While there are few steps each has a row; whenever the rows become too many, two
 * steps share one where one had it before, with the mean of their values and, of the loss, the range.
 */
export class StepHistory {
  readonly #limit: number
  #stride = 1
  #buckets: Bucket[] = []

  /** @param limit the most rows there are */
  constructor(limit = 2000) {
    this.#limit = limit
  }

  get stride(): number {
    return this.#stride
  }

  /** Adds values to those of a step; steps do not come before those of earlier calls. */
  add({ step, ...values }: StepRow): void {
    const bucket = this.#bucketOf(step)
    for (const [name, value] of Object.entries(values)) {
      if (value === null || !Number.isFinite(value)) continue
      merge(bucket, name, { sum: value, count: 1 })
      if (name === 'loss') widen(bucket, { least: value, most: value })
    }
    if (this.#buckets.length > this.#limit) this.#halve()
  }

  /** Everything that is known; columns that a row has no value for hold null there. */
  table(): StepTable {
    const names = new Set(this.#buckets.flatMap(({ means }) => [...means.keys()]))
    const column = (value: (bucket: Bucket) => number | null): (number | null)[] =>
      this.#buckets.map((bucket) => rounded(value(bucket)))
    const columns: Record<string, (number | null)[]> = { step: this.#buckets.map(({ step }) => step) }
    for (const name of names)
      columns[name] = column(({ means }) => {
        const mean = means.get(name)
        return mean === undefined ? null : mean.sum / mean.count
      })
    if (this.#stride > 1) {
      columns.leastLoss = column(({ loss }) => loss.least)
      columns.mostLoss = column(({ loss }) => loss.most)
    }
    return { stride: this.#stride, columns }
  }

  #bucketOf(step: number): Bucket {
    const last = this.#buckets.at(-1)
    if (last !== undefined && Math.floor(last.step / this.#stride) >= Math.floor(step / this.#stride)) {
      last.step = Math.max(last.step, step)
      return last
    }
    const bucket: Bucket = {
      step,
      means: new Map(),
      loss: { least: Number.POSITIVE_INFINITY, most: Number.NEGATIVE_INFINITY },
    }
    this.#buckets.push(bucket)
    return bucket
  }

  #halve(): void {
    const before = this.#buckets
    this.#buckets = []
    this.#stride *= 2
    for (const { step, means, loss } of before) {
      const bucket = this.#bucketOf(step)
      for (const [name, mean] of means) merge(bucket, name, mean)
      widen(bucket, loss)
    }
  }
}

function merge(
  { means }: Bucket,
  name: string,
  { sum, count }: { readonly sum: number; readonly count: number },
): void {
  const known = means.get(name)
  if (known === undefined) means.set(name, { sum, count })
  else {
    known.sum += sum
    known.count += count
  }
}

function widen({ loss }: Bucket, { least, most }: Readonly<Bucket['loss']>): void {
  loss.least = Math.min(loss.least, least)
  loss.most = Math.max(loss.most, most)
}

function rounded(value: number | null): number | null {
  return value === null || !Number.isFinite(value) ? null : Number(value.toPrecision(shownDigits))
}
