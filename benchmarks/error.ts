/** How far an op's result is from a float64 computation, at positions that are the same in every run. */
import { cast } from '../lib/ops/cast.ts'
import type { Tensor } from '../lib/tensor/tensor.ts'

/** Positions looked at; all of them where the result has no more. */
const SAMPLES = 64

/** The expected number at a position of the flattened result. */
export type Expected = (position: number) => number

async function numbers(x: Tensor): Promise<Float32Array> {
  const copy = cast(x, { dtype: 'float32' })
  try {
    return (await copy.read()) as Float32Array
  } finally {
    copy.dispose()
  }
}

/** Spread over the whole range and, by the golden ratio, over rows and columns of every width. */
function positions(size: number): readonly number[] {
  if (size <= SAMPLES) return Array.from({ length: size }, (_, i) => i)
  const ratio = (Math.sqrt(5) - 1) / 2
  return Array.from({ length: SAMPLES }, (_, i) => Math.floor((((i + 0.5) * ratio) % 1) * size))
}

/**
 * rms(error) / rms(expected) at sampled positions of a result; where all expected numbers are 0, rms(error).
 * @param run makes the result, which is disposed; of several tensors the first counts
 * @param inputs read as float32 numbers before `run` is called
 * @param expect given those numbers, returns what computes an expected number in float64
 */
export async function sampledError(
  run: () => Tensor | readonly Tensor[],
  inputs: readonly Tensor[],
  expect: (...values: readonly Float32Array[]) => Expected,
): Promise<number> {
  const values: Float32Array[] = []
  for (const input of inputs) values.push(await numbers(input))
  const result = run()
  const tensors: readonly Tensor[] = Array.isArray(result) ? result : [result as Tensor]
  const actual = await numbers(tensors[0]!)
  for (const t of tensors) t.dispose()
  const expected = expect(...values)
  let [wrong, whole] = [0, 0]
  for (const position of positions(actual.length)) {
    const reference = expected(position)
    wrong += (actual[position]! - reference) ** 2
    whole += reference ** 2
  }
  return Math.sqrt(whole > 0 ? wrong / whole : wrong)
}

/** The sum of `term(0)` to `term(count - 1)`. */
export function sumOf(count: number, term: (index: number) => number): number {
  let sum = 0
  for (let i = 0; i < count; i++) sum += term(i)
  return sum
}

/** The logistic function. */
export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x))
}

/** `x Phi(x)` by the series of erf without alternating signs (Abramowitz and Stegun, 7.1.6). */
export function exactGelu(x: number): number {
  if (Math.abs(x) > 8) return Math.max(x, 0)
  const z = x / Math.SQRT2
  let term = z
  let series = z
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(series); n++) {
    term *= (2 * z * z) / (2 * n + 1)
    series += term
  }
  return 0.5 * x * (1 + (2 / Math.sqrt(Math.PI)) * Math.exp(-z * z) * series)
}

/** Normalises numbers to mean 0 and variance 1, `eps` added to the variance; the statistics of a set are computed once. */
export function normaliser(eps: number): (set: number, count: number, at: (index: number) => number) => Expected {
  const known = new Map<number, readonly [mean: number, deviation: number]>()
  return (set, count, at) => {
    let statistics = known.get(set)
    if (!statistics) {
      const mean = sumOf(count, at) / count
      statistics = [mean, Math.sqrt(sumOf(count, (i) => (at(i) - mean) ** 2) / count + eps)]
      known.set(set, statistics)
    }
    const [mean, deviation] = statistics
    return (value) => (value - mean) / deviation
  }
}
