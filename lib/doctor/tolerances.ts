/** How near a device's results must be to those of a float32 computation from the same rounded inputs. */
import type { FloatDType } from '../tensor/dtype.ts'

/** With R the root mean square of the expected numbers: rms(error) <= rms R, and every error <= relative |expected| + max R. */
export interface Tolerance {
  readonly rms: number
  readonly max: number
  readonly relative: number
}

type Row = Readonly<Record<FloatDType, Tolerance>>

const row = (
  float32: readonly [rms: number, max: number, relative: number],
  bfloat16: readonly [rms: number, max: number, relative: number],
  float16: readonly [rms: number, max: number, relative: number],
): Row => {
  const of = ([rms, max, relative]: readonly [number, number, number]): Tolerance => ({ rms, max, relative })
  return { float32: of(float32), bfloat16: of(bfloat16), float16: of(float16) }
}

/**
 * Rounding a result to bfloat16 alone costs 1.7e-3 of its root mean square, to float16 2.1e-4. Gradients of ops that are computed
 * element by element may have four times their errors in float32 and three times in 16 bits, as in the tests of the ops.
 */
export const tolerances = {
  element: row([2e-7, 1e-6, 1e-6], [2.5e-3, 4e-3, 2 ** -8], [3e-4, 5e-4, 2 ** -10]),
  elementGradient: row([8e-7, 5e-6, 1e-5], [7.5e-3, 1.2e-2, 2 ** -7], [9e-4, 1.5e-3, 2 ** -10]),
  /** Sums over rows, the gradients of a norm's weight and bias, and steps of optimizers that sum over whole tensors. */
  sum: row([2e-6, 2e-5, 1e-5], [7.5e-3, 1.2e-2, 2 ** -7], [9e-4, 1.5e-3, 2 ** -10]),
  product: row([1e-6, 1e-5, 0], [2.5e-3, 4e-3, 2 ** -8], [4e-4, 1e-3, 2 ** -10]),
  /** 3x3 convolutions by Winograd's F(4x4, 3x3), which the CPU takes for float32. */
  fastConvolution: row([5e-5, 2e-4, 0], [2.5e-3, 4e-3, 2 ** -8], [4e-4, 1e-3, 2 ** -10]),
  /** A product with a gradient that other roundings went into: of an activation, a low-rank branch. */
  productGradient: row([4e-6, 4e-5, 0], [7.5e-3, 1.2e-2, 2 ** -7], [1.2e-3, 3e-3, 2 ** -10]),
  attention: row([1.5e-6, 4e-5, 0], [4e-3, 4e-2, 0], [6e-4, 5e-3, 0]),
  attentionGradient: row([2e-6, 5e-5, 0], [8e-3, 8e-2, 0], [1.2e-3, 1.2e-2, 0]),
  /** The layers of an encoder, one after another. In float32 the CPU's fast convolutions alone make 6e-6 of the real one's. */
  encoder: row([2e-5, 1e-4, 0], [1.5e-2, 1e-1, 0], [3e-3, 2e-2, 0]),
  /** A step whose products are kept in bfloat16 from one to the next, while parameters are float32. */
  bfloat16Products: row([5e-3, 2e-2, 0], [5e-3, 2e-2, 0], [5e-3, 2e-2, 0]),
  /** A step of an optimizer, whose parameters and states are float32. */
  step: row([1e-6, 2e-6, 1e-5], [2.5e-3, 4e-3, 2 ** -8], [3e-4, 5e-4, 2 ** -10]),
  /** Nothing is computed but copies. */
  exact: row([0, 0, 0], [0, 0, 0], [0, 0, 0]),
} as const satisfies Readonly<Record<string, Row>>

export type ToleranceClass = keyof typeof tolerances

/** Integer results (levels of pictures, codes of states) may be the next one, in few places: where numbers fell between two. */
export const integerTolerance = { most: 1, share: 0.01 } as const
