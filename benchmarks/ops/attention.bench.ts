import { backward } from '../../lib/autograd/backward.ts'
import { attention } from '../../lib/ops/attention.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { sampledError, sumOf } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal, tensor } from '../tensors.ts'

interface Case {
  readonly queries: number
  readonly keys: number
  readonly heads: number
  readonly size: number
  readonly causal?: boolean
}

const cases: readonly Case[] = [
  { queries: 4096, keys: 4096, heads: 8, size: 40 },
  { queries: 1024, keys: 1024, heads: 8, size: 80 },
  { queries: 256, keys: 256, heads: 8, size: 160 },
  { queries: 64, keys: 64, heads: 8, size: 160 },
  { queries: 4096, keys: 77, heads: 8, size: 40 },
  { queries: 1024, keys: 77, heads: 8, size: 80 },
  { queries: 256, keys: 77, heads: 8, size: 160 },
  { queries: 77, keys: 77, heads: 12, size: 64, causal: true },
  { queries: 4096, keys: 4096, heads: 1, size: 512 },
  { queries: 4096, keys: 4096, heads: 10, size: 64 },
]

function bench({ queries, keys, heads, size, causal = false }: Case, dtype: 'float32' | 'bfloat16'): readonly Bench[] {
  const bytes = dtype === 'float32' ? 4 : 2
  const name = `${dtype} ${queries}x${keys}, ${heads} heads of ${size}${causal ? ', causal' : ''}`
  const flops = 4 * queries * keys * heads * size * (causal ? 0.5 : 1)
  const input = (tokens: number, seed: number): Tensor => {
    const shape = [1, tokens, heads * size]
    return dtype === 'float32' ? randomNormal(shape, { seed }) : randomBFloat16(shape, seed)
  }
  const inputs = (): [Tensor, Tensor, Tensor] => [input(queries, 1), input(keys, 2), input(keys, 3)]
  const options = { heads, causal }
  const width = heads * size
  const expect =
    (q: Float32Array, k: Float32Array, v: Float32Array) =>
    (i: number): number => {
      const [query, column] = [Math.floor(i / width), i % width]
      const head = column - (column % size)
      const scores = Float64Array.from(
        { length: causal ? query + 1 : keys },
        (_, key) => sumOf(size, (d) => q[query * width + head + d]! * k[key * width + head + d]!) / Math.sqrt(size),
      )
      const highest = scores.reduce((a, b) => Math.max(a, b))
      const weights = scores.map((score) => Math.exp(score - highest))
      return (
        sumOf(weights.length, (key) => weights[key]! * v[key * width + column]!) /
        sumOf(weights.length, (key) => weights[key]!)
      )
    }
  return [
    {
      name: `attention ${name}`,
      flops,
      bytes: 2 * (queries + keys) * heads * size * bytes,
      setup() {
        const [q, k, v] = inputs()
        const run = () => attention(q, k, v, options)
        return { run, error: () => sampledError(run, [q, k, v], expect) }
      },
    },
    {
      // Backward is five products of the forward pass's two.
      name: `attention forward and backward ${name}`,
      flops: 3.5 * flops,
      setup() {
        const tensors = inputs()
        const dy = input(queries, 4)
        for (const t of tensors) t.requiresGrad = true
        const run = () => {
          const y = attention(...tensors, options)
          backward(y, dy)
          for (const t of tensors) {
            t.grad?.dispose()
            t.grad = null
          }
          return y
        }
        return { run, error: () => sampledError(run, tensors, expect) }
      },
    },
  ]
}

/** Numbers in (-2, 2) as bfloat16, made from the bits of a small generator. */
function randomBFloat16(shape: readonly number[], seed: number): Tensor {
  const bits = new Uint16Array(shape.reduce((a, b) => a * b))
  let state = seed
  for (let i = 0; i < bits.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const exponent = 124 + ((state >>> 8) % 4)
    bits[i] = ((state >>> 16) & 0x8000) | (exponent << 7) | ((state >>> 24) & 0x7f)
  }
  return tensor(bits, shape, { dtype: 'bfloat16' })
}

export const benches: readonly Bench[] = (['float32', 'bfloat16'] as const).flatMap((dtype) =>
  cases.flatMap((shape) => bench(shape, dtype)),
)
