import { backward } from '../../lib/autograd/backward.ts'
import { linear } from '../../lib/ops/linear.ts'
import { randomNormal } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

/** [rows, in, out]: attention projections, feed-forward layers, text context and time embedding of SD 1.5. */
const shapes = [
  [4096, 320, 320],
  [4096, 320, 2560],
  [4096, 1280, 320],
  [1024, 640, 640],
  [1024, 640, 5120],
  [256, 1280, 1280],
  [256, 5120, 1280],
  [77, 768, 320],
  [77, 768, 3072],
  [1, 1280, 1280],
] as const

function benchesOf([rows, size, out]: readonly [number, number, number]): readonly Bench[] {
  const flops = 2 * rows * size * out
  const setup = (rank: number) => {
    const x = randomNormal([rows, size], { seed: 1 })
    const weight = randomNormal([out, size], { seed: 2 })
    const down = rank > 0 ? randomNormal([rank, size], { seed: 3 }) : null
    const up = rank > 0 ? randomNormal([out, rank], { seed: 4 }) : null
    return { x, weight, down, up, dy: randomNormal([rows, out], { seed: 5 }) }
  }
  return [
    {
      name: `linear float32 ${rows}x${out}x${size}`,
      flops,
      bytes: 4 * (rows * size + size * out + rows * out),
      setup() {
        const { x, weight } = setup(0)
        return { run: () => linear(x, weight, null, null, null, null) }
      },
    },
    {
      name: `linear with LoRA 16, forward and backward, float32 ${rows}x${out}x${size}`,
      flops: 2 * flops + 6 * rows * 16 * (size + out),
      setup() {
        const { x, weight, down, up, dy } = setup(16)
        x.requiresGrad = true
        for (const t of [down, up]) t!.requiresGrad = true
        return {
          run() {
            const y = linear(x, weight, null, null, down, up)
            backward(y, dy)
            for (const t of [x, down!, up!]) {
              t.grad?.dispose()
              t.grad = null
            }
            return y
          },
        }
      },
    },
  ]
}

export const benches: readonly Bench[] = shapes.flatMap(benchesOf)
