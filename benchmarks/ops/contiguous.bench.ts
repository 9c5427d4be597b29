import { contiguous } from '../../lib/ops/contiguous.ts'
import { permute } from '../../lib/ops/permute.ts'
import { randomNormal } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

const cases = [
  { shape: [1, 64, 64, 320], axes: [0, 3, 1, 2] },
  { shape: [1, 320, 64, 64], axes: [0, 2, 3, 1] },
  { shape: [1, 4096, 8, 40], axes: [0, 2, 1, 3] },
]

export const benches: readonly Bench[] = cases.map(({ shape, axes }) => ({
  name: `contiguous float32 ${shape.join('x')} in order ${axes.join(' ')}`,
  bytes: 8 * shape.reduce((a, b) => a * b),
  setup() {
    const x = permute(randomNormal(shape, { seed: 1 }), { axes })
    return { run: () => contiguous(x) }
  },
}))
