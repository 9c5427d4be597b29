import { cast } from '../../lib/ops/cast.ts'
import { shiftHue } from '../../lib/ops/shiftHue.ts'
import { scope } from '../../lib/tensor/scope.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomUniform } from '../tensors.ts'

const side = 512

export const benches: readonly Bench[] = [
  {
    name: `shiftHue ${side}x${side}`,
    bytes: 6 * side * side,
    setup() {
      const image = scope(() => cast(randomUniform([side, side, 3], { seed: 1, high: 256 }), { dtype: 'uint8' }))
      const run = () => shiftHue(image, { shift: 5 })
      // Value is the largest of the three, and is kept.
      const value = (picture: Float32Array) => (i: number) => {
        const first = i - (i % 3)
        return Math.max(picture[first]!, picture[first + 1]!, picture[first + 2]!)
      }
      return { run, error: () => sampledError(run, [image], value) }
    },
  },
]
