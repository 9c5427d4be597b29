import { cast } from '../../lib/ops/cast.ts'
import { randomNormal } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

const shape = [1, 64, 64, 320]

export const benches: readonly Bench[] = (['bfloat16', 'float16', 'uint8'] as const).map((dtype) => ({
  name: `cast float32 to ${dtype} ${shape.join('x')}`,
  bytes: (dtype === 'uint8' ? 5 : 6) * shape.reduce((a, b) => a * b),
  setup() {
    const x = randomNormal(shape, { seed: 1 })
    return { run: () => cast(x, { dtype }) }
  },
}))
