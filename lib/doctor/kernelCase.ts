/** What one kernel is asked to compute. */
import type { DType, FloatDType } from '../tensor/dtype.ts'
import type { Shape } from '../tensor/shape.ts'
import type { DeviceName, Tensor } from '../tensor/tensor.ts'
import type { ToleranceClass } from './tolerances.ts'

/** `full`: shapes of Stable Diffusion 1.5 at 512 pixels; `small`: a few thousand elements, for emulated and other slow devices. */
export type CaseSize = 'small' | 'full'

export const caseSizes: readonly CaseSize[] = ['small', 'full']

export interface CaseInput {
  readonly shape: Shape
  /** Default: the dtype under test. */
  readonly dtype?: DType
  /** Of normal numbers. Default 1. */
  readonly scale?: number
  /** The elements, in place of normal numbers. */
  readonly at?: (index: number) => number
  /** Default: whether the case has a backward pass. */
  readonly gradient?: false
}

export interface KernelCase {
  /** The op's name in lib/ops, with what distinguishes the case: `attention, causal`. */
  readonly op: string
  readonly inputs: readonly CaseInput[]
  /** Enqueues the op on the device of its inputs. Ops that work in place return those of the inputs that they change. */
  run(inputs: readonly Tensor[], device: DeviceName): Tensor | readonly Tensor[]
  /** How near the results must be. */
  readonly forward: ToleranceClass
  /** How near the gradients of the inputs must be, for a gradient of the first result; absent where there is no backward pass. */
  readonly backward?: ToleranceClass
  /** Default: all float types. */
  readonly dtypes?: readonly FloatDType[]
  /**
   * Floating-point operations of both passes, a multiply and an add counted apart: for ops that are compared with the peak of such
   * operations. All others are compared with the bandwidth of memory.
   */
  readonly flops?: { readonly forward: number; readonly backward: number }
  /** Bytes of the forward pass. Default: inputs read once and results written once. */
  readonly bytes?: number
}

export const float32Only: readonly FloatDType[] = ['float32']

/** float32 normal numbers, whatever the dtype under test. */
export const normals = (shape: Shape): CaseInput => ({ shape, dtype: 'float32' })

/** float32 numbers from 0.5 to 1.5: second moments and scales. */
export const positives = (shape: Shape): CaseInput => ({
  shape,
  dtype: 'float32',
  at: (i) => 0.5 + ((i * 7) % 13) / 13,
})

/** Shapes that are told; the weights of a model are too many. */
const shapesTold = 10

/** The shapes of a case's inputs, for people. */
export function shapesOf({ inputs }: KernelCase): string {
  const more = inputs.length - shapesTold
  const told = inputs.slice(0, shapesTold).map(({ shape }) => shape.join('x'))
  return [...told, ...(more > 0 ? [`and ${more} more`] : [])].join(' ')
}
