/** Noise of several resolutions at once, on which a model learns to change large areas. */
import { add } from '../../ops/add.ts'
import { contiguous } from '../../ops/contiguous.ts'
import { div } from '../../ops/div.ts'
import { gradientNorm } from '../../ops/gradientNorm.ts'
import { matmul } from '../../ops/matmul.ts'
import { mean } from '../../ops/mean.ts'
import { permute } from '../../ops/permute.ts'
import { scale } from '../../ops/scale.ts'
import { slice } from '../../ops/slice.ts'
import { sub } from '../../ops/sub.ts'
import { tensor } from '../../tensor/create.ts'
import { scope } from '../../tensor/scope.ts'
import type { DeviceName, Tensor } from '../../tensor/tensor.ts'

/** Height and width of one octave. */
export type OctaveSize = readonly [height: number, width: number]

/**
 * The sizes of the octaves: octave i is the size of the latents over r^i, r drawn anew from [2, 4) for each. The first octave is as large
 * as the latents; one with a side of 1 is the last.
 * @param iterations octaves at most
 * @param draw uniform numbers in [0, 1)
 */
export function octaveSizes([height, width]: OctaveSize, iterations: number, draw: () => number): OctaveSize[] {
  const sizes: OctaveSize[] = []
  for (let i = 0; i < iterations; i++) {
    const shrink = (2 + 2 * draw()) ** i
    const size = [Math.max(1, Math.floor(height / shrink)), Math.max(1, Math.floor(width / shrink))] as const
    sizes.push(size)
    if (size.includes(1)) break
  }
  return sizes
}

/**
 * Adds octaves, enlarged bilinearly and each `discount` times as strong as the one before, and divides by the standard deviation (with one
 * degree of freedom less) of the whole batch: samples depend on each other.
 *
 * "Multi-resolution noise for diffusion model training" (wandb.ai, 2023), with the sizes and weights of sd-scripts.
 *
 * @param noise float32 [n, h, w, c]
 * @param octaves float32 [n, h', w', c], the first as large as `noise`
 */
export function multiresNoise(noise: Tensor, octaves: readonly Tensor[], discount: number): Tensor {
  const [, h, w] = noise.shape as readonly [number, number, number, number]
  return scope(() => {
    const sum = octaves.reduce(
      (total, octave, i) => add(total, scale(enlarge(octave, [h, w]), { factor: discount ** i })),
      noise,
    )
    const centred = sub(sum, mean(sum))
    const norm = slice(gradientNorm([centred]), { axis: 0, start: 0, end: 1 })
    return scale(div(sum, norm), { factor: Math.sqrt(sum.size - 1) })
  })
}

/** Bilinear, corners not aligned: one axis after the other, as a product with the matrix of its weights. */
function enlarge(x: Tensor, [height, width]: OctaveSize): Tensor {
  const [, h, w] = x.shape as readonly [number, number, number, number]
  if (h === height && w === width) return x
  const { device } = x
  const across = matmul(contiguous(permute(x, { axes: [0, 1, 3, 2] })), bilinearWeights(w, width, device)) // [n, h, c, width]
  const down = matmul(contiguous(permute(across, { axes: [0, 3, 2, 1] })), bilinearWeights(h, height, device)) // [n, width, c, height]
  return contiguous(permute(down, { axes: [0, 3, 1, 2] }))
}

/** What each of `from` values adds to each of `to`, [from, to]. */
function bilinearWeights(from: number, to: number, device: DeviceName): Tensor {
  const weights = new Float32Array(from * to)
  for (let at = 0; at < to; at++) {
    const place = Math.max(0, ((at + 0.5) * from) / to - 0.5)
    const near = Math.floor(place)
    const far = Math.min(near + 1, from - 1)
    weights[near * to + at]! += 1 - (place - near)
    weights[far * to + at]! += place - near
  }
  return tensor(weights, [from, to], { device })
}
