import { matmul } from '../../lib/ops/matmul.ts'
import { sampledError, sumOf } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

const shapes = [
  [4096, 320, 320],
  [1024, 640, 640],
  [256, 1280, 1280],
  [2048, 2048, 2048],
] as const

export const benches: readonly Bench[] = shapes.map(([m, n, k]) => ({
  name: `matmul float32 ${m}x${n}x${k}`,
  flops: 2 * m * n * k,
  bytes: 4 * (m * k + k * n + m * n),
  setup() {
    const a = randomNormal([m, k], { seed: 1 })
    const b = randomNormal([k, n], { seed: 2 })
    const run = () => matmul(a, b)
    return {
      run,
      error: () =>
        sampledError(run, [a, b], (a, b) => (i) => {
          const [row, column] = [Math.floor(i / n), i % n]
          return sumOf(k, (j) => a[row * k + j]! * b[j * n + column]!)
        }),
    }
  },
}))
