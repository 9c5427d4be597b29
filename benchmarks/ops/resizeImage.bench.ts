import { type ResizeImageOptions, resizeImage } from '../../lib/ops/resizeImage.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

// A 12-megapixel photo to a training bucket, a picture of twice the size, and a small one enlarged.
const cases: readonly (readonly [number, number, ResizeImageOptions])[] = [
  [3000, 4000, { width: 640, height: 480 }],
  [1024, 1536, { width: 768, height: 512 }],
  [400, 500, { width: 640, height: 512 }],
  [1024, 1536, { width: 448, height: 448, method: 'lanczos' }],
]

export const benches: readonly Bench[] = cases.map(([h, w, options]) => ({
  name: `resizeImage ${options.method ?? 'area'} ${h}x${w} to ${options.height}x${options.width}`,
  bytes: 3 * (h * w + options.height * options.width),
  setup() {
    const image = tensor(
      Uint8Array.from({ length: h * w * 3 }, (_, i) => (i * i) >> 7),
      [h, w, 3],
    )
    return { run: () => resizeImage(image, options) }
  },
}))
