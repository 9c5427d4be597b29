import { type ResizeImageOptions, type ResizeMethod, resizeImage } from '../../lib/ops/resizeImage.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { tensor } from '../tensors.ts'

// A 12-megapixel photo to a training bucket, a picture of twice the size, and a small one enlarged.
const cases: readonly (readonly [number, number, ResizeImageOptions])[] = [
  [3000, 4000, { width: 640, height: 480 }],
  [1024, 1536, { width: 768, height: 512 }],
  [400, 500, { width: 640, height: 512 }],
  [1024, 1536, { width: 448, height: 448, method: 'lanczos' }],
  [1024, 1536, { width: 768, height: 512, method: 'lanczos3' }],
]

type Taps = readonly (readonly [position: number, weight: number])[]

/** Where one target position takes its value from along an axis, before any rounding. */
function tapsAt(target: number, from: number, to: number, method: ResizeMethod | 'linear'): Taps {
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
  const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x))
  const [lobes, widening] = method === 'lanczos3' ? [3, Math.max(1, ratio)] : [4, 1]
  const reach = Math.ceil(lobes * widening)
  const taps = Array.from({ length: 2 * reach }, (_, k): readonly [number, number] => {
    const position = Math.floor(place) - reach + 1 + k
    const x = (position - place) / widening
    const isOutside = Math.abs(x) >= lobes || (method === 'lanczos3' && held(position) !== position)
    return [held(position), isOutside ? 0 : sinc(x) * sinc(x / lobes)]
  })
  const sum = taps.reduce((total, [, weight]) => total + weight, 0)
  return taps.map(([position, weight]) => [position, weight / sum])
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
