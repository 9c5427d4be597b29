import { type DType, type FloatDType, isFloat } from '../tensor/dtype.ts'
import { integerTolerance, type Tolerance, type ToleranceClass, tolerances } from './tolerances.ts'

/** How far numbers are from expected ones. */
export interface Difference {
  /** rms(error) and the largest error, as shares of the root mean square of the expected numbers. */
  readonly rms: number
  readonly max: number
  /** The larger of the two as a share of what is allowed; infinite for a NaN or an infinity that was not expected. */
  readonly share: number
}

/** The worst difference of several results, each within the tolerance of its own type. */
export function compareAll(
  actual: readonly ArrayLike<number>[],
  expected: readonly ArrayLike<number>[],
  dtypes: readonly DType[],
  kind: ToleranceClass,
  dtype: FloatDType,
): Difference {
  const differences = actual.map((values, i) => {
    const type = dtypes[i]!
    if (!isFloat(type)) return compareIntegers(values, expected[i]!)
    // A result of 16 bits has their precision, whatever the type of the inputs.
    return compareFloats(values, expected[i]!, tolerances[kind][type === 'float32' ? dtype : type])
  })
  const worst = (of: (difference: Difference) => number): number => Math.max(...differences.map(of))
  return { rms: worst(({ rms }) => rms), max: worst(({ max }) => max), share: worst(({ share }) => share) }
}

const incomparable: Difference = { rms: Infinity, max: Infinity, share: Infinity }

/** Floats: see `Tolerance`. Where all expected numbers are 0, errors are not divided. */
export function compareFloats(actual: ArrayLike<number>, expected: ArrayLike<number>, allowed: Tolerance): Difference {
  if (actual.length !== expected.length) return incomparable
  let [square, whole, largest] = [0, 0, 0]
  for (let i = 0; i < actual.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!)
    if (!Number.isFinite(error)) return incomparable
    square += error * error
    whole += expected[i]! * expected[i]!
    largest = Math.max(largest, error)
  }
  const size = Math.sqrt(whole / actual.length) || 1
  const rms = Math.sqrt(square / actual.length) / size
  let share = rms === 0 ? 0 : rms / allowed.rms
  for (let i = 0; i < actual.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!)
    if (error > 0) share = Math.max(share, error / (allowed.relative * Math.abs(expected[i]!) + allowed.max * size))
  }
  return { rms, max: largest / size, share }
}

/** Whole numbers: `max` is the largest error, `rms` the share of places that differ. */
export function compareIntegers(actual: ArrayLike<number>, expected: ArrayLike<number>): Difference {
  if (actual.length !== expected.length) return incomparable
  let [count, max] = [0, 0]
  for (let i = 0; i < actual.length; i++) {
    const error = Math.abs(Number(actual[i]) - Number(expected[i]))
    if (error > 0) count++
    max = Math.max(max, error)
  }
  const rms = count / actual.length
  return { rms, max, share: Math.max(max / integerTolerance.most, rms / integerTolerance.share) }
}
