import { concatChannels } from '../../lib/ops/concatChannels.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

const shape = [1, 64, 64, 320]

export const benches: readonly Bench[] = [
  {
    name: `concatChannels float32 ${shape.join('x')} twice`,
    bytes: 16 * shape.reduce((a, b) => a * b),
    setup() {
      const a = randomNormal(shape, { seed: 1 })
      const b = randomNormal(shape, { seed: 2 })
      const run = () => concatChannels(a, b)
      return {
        run,
        error: () =>
          sampledError(run, [a, b], (a, b) => (i) => {
            const c = shape.at(-1)!
            const [pixel, channel] = [Math.floor(i / (2 * c)), i % (2 * c)]
            return channel < c ? a[pixel * c + channel]! : b[pixel * c + channel - c]!
          }),
      }
    },
  },
]
