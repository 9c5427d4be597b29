import { sum } from '../../lib/ops/sum.ts'
import { sampledError, sumOf } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

const shape = [1, 64, 64, 320]

export const benches: readonly Bench[] = [[0, 1, 2, 3], [1, 2], [3]].map((axes) => ({
  name: `sum float32 ${shape.join('x')} over ${axes.join(' ')}`,
  bytes: 4 * shape.reduce((a, b) => a * b),
  setup() {
    const x = randomNormal(shape, { seed: 1 })
    const run = () => sum(x, { axes })
    return {
      run,
      error: () =>
        sampledError(run, [x], (x) => {
          // The axes summed over are all, the pixels, or the channels.
          const count = x.length / axes.reduce((rest, axis) => rest / shape[axis]!, x.length)
          const [step, next] = axes.includes(3) ? [1, count] : [shape[3]!, 1]
          return (i) => sumOf(count, (j) => x[i * next + j * step]!)
        }),
    }
  },
}))
