import { backward } from '../../lib/autograd/backward.ts'
import { type Conv2dOptions, conv2d } from '../../lib/ops/conv2d.ts'
import { randomNormal } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

interface Case extends Conv2dOptions {
  readonly size: number
  readonly channels: readonly [number, number]
  readonly kernel?: 1 | 3
}

/** Layers of SD 1.5 at 512 pixels and of its VAE. */
const cases: readonly Case[] = [
  { size: 64, channels: [320, 320] },
  { size: 32, channels: [640, 640] },
  { size: 16, channels: [1280, 1280] },
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
]

function benchesOf({ size, channels, kernel = 3, ...options }: Case): readonly Bench[] {
  const [ci, co] = channels
  const padding = kernel === 3 ? 1 : 0
  const out = (size * (options.upsample ? 2 : 1)) / (options.stride ?? 1)
  const flops = 2 * out * out * co * ci * kernel * kernel
  const details = Object.entries(options).map(([key, value]) => `, ${key} ${value}`)
  const name = `float32 ${size}x${size} ${ci} to ${co}, ${kernel}x${kernel}${details.join('')}`
  const setup = () => ({
    x: randomNormal([1, size, size, ci], { seed: 1 }),
    weight: randomNormal([co, kernel, kernel, ci], { seed: 2 }),
    dy: randomNormal([1, out, out, co], { seed: 3 }),
  })
  const pass = (label: string, factor: number, xGrad: boolean, weightGrad: boolean): Bench => ({
    name: `conv2d ${label}${name}`,
    flops: factor * flops,
    setup() {
      const { x, weight, dy } = setup()
      x.requiresGrad = xGrad
      weight.requiresGrad = weightGrad
      return {
        run() {
          const y = conv2d(x, weight, null, null, null, { ...options, padding })
          if (xGrad || weightGrad) backward(y, dy)
          for (const t of [x, weight]) {
            t.grad?.dispose()
            t.grad = null
          }
          return y
        },
      }
    },
  })
  return [
    pass('', 1, false, false),
    pass('forward and gradient of x, ', 2, true, false),
    pass('forward and both gradients, ', 3, true, true),
  ]
}

export const benches: readonly Bench[] = cases.flatMap(benchesOf)
