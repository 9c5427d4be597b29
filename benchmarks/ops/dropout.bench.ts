import { dropout } from '../../lib/ops/dropout.ts'
import { philox4x32 } from '../../lib/util/philox.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

const shapes = [
  [1, 64, 64, 320],
  [4, 64, 64, 960],
]

const p = 0.1
const [seed, stream] = [1, 2]

/** What a kept element is multiplied by; 0 for a dropped one. */
function maskAt(i: number): number {
  const word = philox4x32([Math.floor(i / 4), 0, stream, 0], [seed, 0])[i % 4]!
  return (word >>> 8) * 2 ** -24 >= p ? 1 / (1 - p) : 0
}

export const benches: readonly Bench[] = shapes.map((shape) => ({
  name: `dropout float32 ${shape.join('x')}`,
  bytes: 8 * shape.reduce((a, b) => a * b),
  setup() {
    const x = randomNormal(shape, { seed: 1 })
    const run = () => dropout(x, { p, seed: BigInt(seed), stream: BigInt(stream) })
    return { run, error: () => sampledError(run, [x], (x) => (i) => x[i]! * maskAt(i)) }
  },
}))
