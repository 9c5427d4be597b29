/**
 * Digests of float64 references written by scripts/reference/digest.py: enough numbers to catch a wrong element, sign,
 * scale or layout without storing the tensor.
 */

import { elementCount, formulaKey, hash24 } from './formula.ts'

export interface Digest {
  /** Also the name of the projection vectors: `<id>/w0`, `<id>/w1`, ... */
  readonly id: string
  readonly shape: readonly number[]
  readonly rms: number
  /** Yardstick of errors instead of `rms`, for tensors that are zero in exact arithmetic. */
  readonly scale?: number
  /** The whole tensor, if it is small; otherwise the three fields below. */
  readonly values?: readonly number[]
  /** Dot products with 'uniform' formula vectors, divided by sqrt(count) * (scale ?? rms). */
  readonly projections?: readonly number[]
  readonly stride?: number
  /** The elements 0, stride, 2 stride, ... */
  readonly samples?: readonly number[]
}

export interface DigestTolerance {
  /** Allowed rms of the error, relative to the rms of the reference. */
  readonly rms: number
  /** Allowed error of one element, relative to the rms of the reference. */
  readonly max: number
  /** Allowed error of one element relative to itself, added to `max`. Default 0. */
  readonly relative?: number
}

/** A projection of an error of relative rms r is about 0.58 r for independent elements; four times r is seven sigma. */
const PROJECTION_FACTOR = 4

/** The errors of `actual` as the digest sees them, all relative to the yardstick (`scale ?? rms`). */
export interface DigestErrors {
  /** Lower bound of the rms error: from the projections and the norm, or exact when the digest holds the whole tensor. */
  readonly rms: number
  /** Largest error among the stored elements. */
  readonly max: number
}

/**
 * Throws a readable Error unless `actual` (row-major, the digest's layout) agrees with the reference.
 *
 * Checked: the element count, that all elements are finite, the rms, each projection and each stored element.
 */
export function expectDigest(actual: ArrayLike<number>, digest: Digest, tolerance: DigestTolerance): DigestErrors {
  const fail = (what: string, expected: number, received: number, limit: number): never => {
    const error = Math.abs(received - expected)
    throw new Error(
      `${digest.id} [${digest.shape.join(', ')}]: ${what}: expected ${expected}, received ${received}, ` +
        `error ${error.toExponential(2)} above ${limit.toExponential(2)} (rms of the reference ${digest.rms})`,
    )
  }
  const count = elementCount(digest.shape)
  if (actual.length !== count) {
    throw new Error(`${digest.id}: expected ${count} elements [${digest.shape.join(', ')}], received ${actual.length}`)
  }
  const unit = digest.scale ?? digest.rms
  const { relative = 0 } = tolerance

  let squares = 0
  for (let i = 0; i < count; i++) squares += actual[i]! * actual[i]!
  if (!Number.isFinite(squares)) throw new Error(`${digest.id}: element ${firstNonFinite(actual)} is not finite`)

  let max = 0
  const expected = digest.values ?? digest.samples ?? []
  const stride = digest.stride ?? 1
  for (let k = 0; k < expected.length; k++) {
    const index = k * stride
    const error = Math.abs(actual[index]! - expected[k]!)
    const limit = tolerance.max * unit + relative * Math.abs(expected[k]!)
    if (!(error <= limit)) fail(`element ${index}`, expected[k]!, actual[index]!, limit)
    max = Math.max(max, error)
  }

  let rms = 0
  if (digest.values !== undefined) {
    for (let i = 0; i < count; i++) rms += (actual[i]! - digest.values[i]!) ** 2
    rms = Math.sqrt(rms / count)
    const limit = tolerance.rms * unit
    if (!(rms <= limit)) fail('rms of the error', 0, rms, limit)
  } else {
    const limit = tolerance.rms * unit
    const norm = Math.sqrt(squares / count)
    if (!(Math.abs(norm - digest.rms) <= limit + 1e-9 * digest.rms)) fail('rms', digest.rms, norm, limit)
    rms = Math.abs(norm - digest.rms)
    const received = project(actual, digest.id, digest.projections?.length ?? 0)
    digest.projections?.forEach((projection, k) => {
      const value = received[k]! / (Math.sqrt(count) * unit)
      const bound = PROJECTION_FACTOR * tolerance.rms + 1e-9
      if (!(Math.abs(value - projection) <= bound)) fail(`projection w${k}`, projection, value, bound)
      rms = Math.max(rms, (Math.abs(value - projection) * unit) / PROJECTION_FACTOR)
    })
  }
  return unit === 0 ? { rms: 0, max: 0 } : { rms: rms / unit, max: max / unit }
}

/** Dot products with the formula vectors `<id>/w0` .., accumulated in float64. */
function project(values: ArrayLike<number>, id: string, projections: number): number[] {
  return Array.from({ length: projections }, (_, k) => {
    const key = formulaKey(`${id}/w${k}`)
    let sum = 0
    for (let i = 0; i < values.length; i++) sum += values[i]! * (hash24(key, i) * 2 ** -23 - 1)
    return sum
  })
}

function firstNonFinite(values: ArrayLike<number>): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i
  return -1
}
