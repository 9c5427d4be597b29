import { backward } from '../../lib/autograd/backward.ts'
import { cast } from '../../lib/ops/cast.ts'
import { linear } from '../../lib/ops/linear.ts'
import { sampledError, sumOf } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

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

function benchesOf(
  [rows, size, out]: readonly [number, number, number],
  dtype: 'float32' | 'bfloat16',
): readonly Bench[] {
  const dot = (a: Float32Array, b: Float32Array, i: number, j: number, length: number): number =>
    sumOf(length, (k) => a[i * length + k]! * b[j * length + k]!)
  const flops = 2 * rows * size * out
  const setup = (rank: number) => {
    const x = cast(randomNormal([rows, size], { seed: 1 }), { dtype })
    const weight = cast(randomNormal([out, size], { seed: 2 }), { dtype })
    const down = rank > 0 ? randomNormal([rank, size], { seed: 3 }) : null
    const up = rank > 0 ? randomNormal([out, rank], { seed: 4 }) : null
    return { x, weight, down, up, dy: cast(randomNormal([rows, out], { seed: 5 }), { dtype }) }
  }
  return [
    {
      name: `linear ${dtype} ${rows}x${out}x${size}`,
      flops,
      bytes: (dtype === 'float32' ? 4 : 2) * (rows * size + size * out + rows * out),
      setup() {
        const { x, weight } = setup(0)
        const run = () => linear(x, weight, null, null, null, null)
        return {
          run,
          error: () =>
            sampledError(run, [x, weight], (x, weight) => (i) => dot(x, weight, Math.floor(i / out), i % out, size)),
        }
      },
    },
    {
      name: `linear with LoRA 16, forward and backward, ${dtype} ${rows}x${out}x${size}`,
      flops: 2 * flops + 6 * rows * 16 * (size + out),
      setup() {
        const { x, weight, down, up, dy } = setup(16)
        x.requiresGrad = true
        for (const t of [down, up]) t!.requiresGrad = true
        const run = () => {
          const y = linear(x, weight, null, null, down, up)
          backward(y, dy)
          for (const t of [x, down!, up!]) {
            t.grad?.dispose()
            t.grad = null
          }
          return y
        }
        return {
          run,
          error: () =>
            sampledError(run, [x, weight, down!, up!], (x, weight, down, up) => (i) => {
              const [row, column] = [Math.floor(i / out), i % out]
              return (
                dot(x, weight, row, column, size) + sumOf(16, (r) => up[column * 16 + r]! * dot(x, down, row, r, size))
              )
            }),
        }
      },
    },
  ]
}

export const benches: readonly Bench[] = (['float32', 'bfloat16'] as const).flatMap((dtype) =>
  shapes.flatMap((shape) => benchesOf(shape, dtype)),
)
