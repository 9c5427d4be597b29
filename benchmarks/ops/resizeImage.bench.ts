import { type ResizeImageOptions, resizeImage } from '../../lib/ops/resizeImage.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'

// A 12-megapixel photo to a training bucket, a picture of twice the size, and a small one enlarged.
const cases: readonly (readonly [number, number, ResizeImageOptions])[] = [
  [3000, 4000, { width: 640, height: 480 }],
  [1024, 1536, { width: 768, height: 512 }],
  [400, 500, { width: 640, height: 512 }],
  [1024, 1536, { width: 448, height: 448, method: 'lanczos' }],
]

type Taps = readonly (readonly [position: number, weight: number])[]

/** Where one target position takes its value from along an axis, before any rounding. */
function tapsAt(target: number, from: number, to: number, method: 'area' | 'linear' | 'lanczos'): Taps {
  const ratio = from / to
  const held = (position: number): number => Math.min(from - 1, Math.max(0, position))
  if (method === 'area') {
    const [begin, end] = [target * ratio, Math.min(from, (target + 1) * ratio)]
    return Array.from({ length: Math.ceil(end) - Math.floor(begin) }, (_, k) => {
      const position = Math.floor(begin) + k
      return [held(position), (Math.min(end, position + 1) - Math.max(begin, position)) / ratio]
    })
  }
  if (method === 'linear') {
    const first = Math.floor(target * ratio)
    const beyond = target + 1 - (first + 1) / ratio
    const share = beyond <= 0 || first >= from - 1 ? 0 : beyond % 1
    return [
      [held(first), 1 - share],
      [held(first + 1), share],
    ]
  }
  const place = (target + 0.5) * ratio - 0.5
  const first = Math.floor(place) - 3
  const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x))
  const weights = Array.from({ length: 8 }, (_, k) => sinc(first + k - place) * sinc((first + k - place) / 4))
  const sum = weights.reduce((a, b) => a + b)
  return weights.map((weight, k) => [held(first + k), weight / sum])
}

export const benches: readonly Bench[] = cases.map(([h, w, options]) => ({
  name: `resizeImage ${options.method ?? 'area'} ${h}x${w} to ${options.height}x${options.width}`,
  bytes: 3 * (h * w + options.height * options.width),
  setup() {
    const image = tensor(
      Uint8Array.from({ length: h * w * 3 }, (_, i) => (i * i) >> 7),
      [h, w, 3],
    )
    const run = () => resizeImage(image, options)
    const { width, height } = options
    const method = options.method ?? (width > w || height > h ? 'linear' : 'area')
    const expected = (pixels: Float32Array) => (i: number) => {
      const [pixel, colour] = [Math.floor(i / 3), i % 3]
      let sum = 0
      for (const [y, down] of tapsAt(Math.floor(pixel / width), h, height, method))
        for (const [x, across] of tapsAt(pixel % width, w, width, method))
          sum += down * across * pixels[(y * w + x) * 3 + colour]!
      return Math.min(255, Math.max(0, sum))
    }
    return { run, error: () => sampledError(run, [image], expected) }
  },
}))
