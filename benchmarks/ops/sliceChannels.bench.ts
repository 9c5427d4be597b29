import { sliceChannels } from '../../lib/ops/sliceChannels.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

const shape = [1, 64, 64, 640]

export const benches: readonly Bench[] = [
  {
    name: `sliceChannels float32 ${shape.join('x')} first half`,
    bytes: 4 * shape.reduce((a, b) => a * b),
    setup() {
      const x = randomNormal(shape, { seed: 1 })
      const run = () => sliceChannels(x, { start: 0, end: 320 })
      return {
        run,
        error: () => sampledError(run, [x], (x) => (i) => x[Math.floor(i / 320) * shape.at(-1)! + (i % 320)]!),
      }
    },
  },
]
