import { backward } from '../../lib/autograd/backward.ts'
import { cast } from '../../lib/ops/cast.ts'
import { type Conv2dOptions, conv2d } from '../../lib/ops/conv2d.ts'
import { sampledError, sumOf } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

interface Case extends Conv2dOptions {
  readonly size: number
  readonly channels: readonly [number, number]
  readonly kernel?: 1 | 3
  readonly dtype?: 'float32' | 'bfloat16'
}

/** Layers of SD 1.5 at 512 pixels and of its VAE. */
const cases: readonly Case[] = [
  { size: 64, channels: [320, 320] },
  { size: 32, channels: [640, 640] },
  { size: 16, channels: [1280, 1280] },
  { size: 16, channels: [1280, 1280], keepTransformed: true },
  { size: 8, channels: [1280, 1280] },
  { size: 64, channels: [640, 320] },
  { size: 64, channels: [320, 320], exact: true },
  { size: 64, channels: [320, 320], keepTransformed: false },
  { size: 64, channels: [320, 320], stride: 2 },
  { size: 32, channels: [640, 640], upsample: true },
  { size: 64, channels: [4, 320] },
  { size: 64, channels: [320, 4] },
  { size: 64, channels: [320, 320], kernel: 1 },
  { size: 256, channels: [128, 128] },
  { size: 64, channels: [320, 320], dtype: 'bfloat16' },
  { size: 32, channels: [640, 640], dtype: 'bfloat16' },
  { size: 16, channels: [1280, 1280], dtype: 'bfloat16' },
  { size: 8, channels: [1280, 1280], dtype: 'bfloat16' },
]

function benchesOf({ size, channels, kernel = 3, dtype = 'float32', ...options }: Case): readonly Bench[] {
  const [ci, co] = channels
  const padding = kernel === 3 ? 1 : 0
  const factor = options.upsample ? 2 : 1
  const out = (size * factor) / (options.stride ?? 1)
  const flops = 2 * out * out * co * ci * kernel * kernel
  const details = Object.entries(options).map(([key, value]) => `, ${key} ${value}`)
  const name = `${dtype} ${size}x${size} ${ci} to ${co}, ${kernel}x${kernel}${details.join('')}`
  const setup = () => ({
    x: cast(randomNormal([1, size, size, ci], { seed: 1 }), { dtype }),
    weight: cast(randomNormal([co, kernel, kernel, ci], { seed: 2 }), { dtype }),
    dy: cast(randomNormal([1, out, out, co], { seed: 3 }), { dtype }),
  })
  const expect =
    (x: Float32Array, weight: Float32Array) =>
    (i: number): number => {
      const [pixel, o] = [Math.floor(i / co), i % co]
      const top = Math.floor(pixel / out) * (options.stride ?? 1) - padding
      const left = (pixel % out) * (options.stride ?? 1) - padding
      const inside = size * factor
      return sumOf(kernel * kernel, (tap) => {
        const [row, column] = [top + Math.floor(tap / kernel), left + (tap % kernel)]
        if (row < 0 || column < 0 || row >= inside || column >= inside) return 0
        const from = (Math.floor(row / factor) * size + Math.floor(column / factor)) * ci
        const taps = (o * kernel * kernel + tap) * ci
        return sumOf(ci, (c) => x[from + c]! * weight[taps + c]!)
      })
    }
  const pass = (label: string, passes: number, xGrad: boolean, weightGrad: boolean): Bench => ({
    name: `conv2d ${label}${name}`,
    flops: passes * flops,
    setup() {
      const { x, weight, dy } = setup()
      x.requiresGrad = xGrad
      weight.requiresGrad = weightGrad
      const run = () => {
        const y = conv2d(x, weight, null, null, null, { ...options, padding })
        if (xGrad || weightGrad) backward(y, dy)
        for (const t of [x, weight]) {
          t.grad?.dispose()
          t.grad = null
        }
        return y
      }
      return { run, error: () => sampledError(run, [x, weight], expect) }
    },
  })
  return [
    pass('', 1, false, false),
    pass('forward and gradient of x, ', 2, true, false),
    pass('forward and both gradients, ', 3, true, true),
  ]
}

export const benches: readonly Bench[] = cases.flatMap(benchesOf)
