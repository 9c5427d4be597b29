import { cast } from '../../lib/ops/cast.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

const shape = [1, 64, 64, 320]

export const benches: readonly Bench[] = (['bfloat16', 'float16', 'uint8'] as const).map((dtype) => ({
  name: `cast float32 to ${dtype} ${shape.join('x')}`,
  bytes: (dtype === 'uint8' ? 5 : 6) * shape.reduce((a, b) => a * b),
  setup() {
    const x = randomNormal(shape, { seed: 1 })
    const run = () => cast(x, { dtype })
    const exact = (value: number): number => (dtype === 'uint8' ? Math.min(255, Math.max(0, Math.trunc(value))) : value)
    return { run, error: () => sampledError(run, [x], (x) => (i) => exact(x[i]!)) }
  },
}))
