import { contiguous } from '../../lib/ops/contiguous.ts'
import { permute } from '../../lib/ops/permute.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

const cases = [
  { shape: [1, 64, 64, 320], axes: [0, 3, 1, 2] },
  { shape: [1, 320, 64, 64], axes: [0, 2, 3, 1] },
  { shape: [1, 4096, 8, 40], axes: [0, 2, 1, 3] },
]

export const benches: readonly Bench[] = cases.map(({ shape, axes }) => ({
  name: `contiguous float32 ${shape.join('x')} in order ${axes.join(' ')}`,
  bytes: 8 * shape.reduce((a, b) => a * b),
  setup() {
    const packed = randomNormal(shape, { seed: 1 })
    const x = permute(packed, { axes })
    const { strides } = x
    const run = () => contiguous(x)
    const expect =
      (values: Float32Array) =>
      (i: number): number => {
        let [rest, from] = [i, 0]
        for (let axis = 3; axis >= 0; axis--) {
          from += (rest % x.shape[axis]!) * strides[axis]!
          rest = Math.floor(rest / x.shape[axis]!)
        }
        return values[from]!
      }
    return { run, error: () => sampledError(run, [packed], expect) }
  },
}))
