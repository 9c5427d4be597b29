import { backward } from '../../lib/autograd/backward.ts'
import { embedding } from '../../lib/ops/embedding.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal, tensor } from '../tensors.ts'

// The token table of CLIP-L and a batch of four prompts.
const [rows, width, tokens] = [49408, 768, 4 * 77]

const expect =
  (ids: Float32Array, table: Float32Array) =>
  (i: number): number =>
    table[ids[Math.floor(i / width)]! * width + (i % width)]!

export const benches: readonly Bench[] = [
  {
    name: `embedding float32 ${tokens}x${width}`,
    bytes: 8 * tokens * width,
    setup() {
      const table = randomNormal([rows, width], { seed: 1 })
      const ids = tensor(
        Int32Array.from({ length: tokens }, (_, i) => (i * 7919) % rows),
        [tokens],
      )
      const run = () => embedding(ids, table)
      return { run, error: () => sampledError(run, [ids, table], expect) }
    },
  },
  {
    name: `embedding with gradient float32 ${rows}x${width}`,
    bytes: 4 * rows * width + 20 * tokens * width,
    setup() {
      const table = randomNormal([rows, width], { seed: 1 })
      table.requiresGrad = true
      const ids = tensor(
        Int32Array.from({ length: tokens }, (_, i) => (i * 7919) % rows),
        [tokens],
      )
      const dy = randomNormal([tokens, width], { seed: 2 })
      const run = () => {
        const y = embedding(ids, table)
        backward(y, dy)
        table.grad?.dispose()
        table.grad = null
        return y
      }
      return { run, error: () => sampledError(run, [ids, table], expect) }
    },
  },
]
