import { cast } from '../../lib/ops/cast.ts'
import { imageToTensor } from '../../lib/ops/imageToTensor.ts'
import { scope } from '../../lib/tensor/scope.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomUniform } from '../tensors.ts'

const [imageHeight, imageWidth] = [520, 768]
const [left, top, width, height] = [128, 4, 512, 512]

export const benches: readonly Bench[] = [
  {
    name: `imageToTensor ${height}x${width} of ${imageHeight}x${imageWidth}, mirrored`,
    bytes: 15 * width * height,
    setup() {
      const size = [imageHeight, imageWidth, 3]
      const image = scope(() => cast(randomUniform(size, { seed: 1, high: 256 }), { dtype: 'uint8' }))
      const run = () => imageToTensor(image, { left, top, width, height, flip: true })
      const expected = (image: Float32Array) => (i: number) => {
        const [pixel, colour] = [Math.floor(i / 3), i % 3]
        const x = left + width - 1 - (pixel % width)
        const y = top + Math.floor(pixel / width)
        return image[(y * imageWidth + x) * 3 + colour]! / 127.5 - 1
      }
      return { run, error: () => sampledError(run, [image], expected) }
    },
  },
]
