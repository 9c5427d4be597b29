/** The weight that a branch stands beside, as sizes. */
import type { LayerShape } from '../models/stableDiffusion/layerShapes.ts'
import type { FileLayout } from '../nn/weights.ts'
import type { DeviceName } from '../tensor/tensor.ts'

/** What a branch must know of its layer: the shape of the weight in memory, where that is, and how files lay it out. */
export interface BranchPlace {
  /** [out, in] or [out, kh, kw, in] */
  readonly shape: readonly number[]
  readonly layout: FileLayout
  readonly device: DeviceName
}

/** The place of a layer that is known from a file alone: any convolution is one in memory there. */
export function placeInFile({ shape }: LayerShape): BranchPlace {
  const [out, inChannels, height, width] = shape as readonly [number, number, number?, number?]
  if (height === undefined || width === undefined) return { shape, layout: 'same', device: 'cpu' }
  return { shape: [out, height, width, inChannels], layout: 'conv', device: 'cpu' }
}

/** Sizes of the layer's weight: `kernel` is empty for a projection. */
export function sizesOf({ shape }: BranchPlace): {
  readonly out: number
  readonly inChannels: number
  readonly kernel: readonly number[]
} {
  return { out: shape[0]!, inChannels: shape.at(-1)!, kernel: shape.slice(1, -1) }
}
