import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { setStrict } from '../../lib/autograd/defineOp.ts'
import { addon } from '../../lib/native/load.ts'
import { type AttentionOptions, attention } from '../../lib/ops/attention.ts'
import { full, tensor } from '../../lib/tensor/create.ts'
import { cpuTargets, setCpuTarget } from '../../lib/tensor/runtime.ts'
import type { Shape } from '../../lib/tensor/shape.ts'
import { type Tensor, wrap } from '../../lib/tensor/tensor.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { type Array64, array64, expectClose, pseudoRandom } from '../support/float64.ts'
import { attentionGradientTolerance, attentionTolerance, numbers, type OpCase, opSuite } from '../support/opSuite.ts'

interface Result {
  readonly o: Array64
  readonly dq: Array64
  readonly dk: Array64
  readonly dv: Array64
}

/** Attention in float64 and, for the gradient `dy` of its result, the gradients of its inputs from the textbook formulas. */
function attention64(q: Array64, k: Array64, v: Array64, options: AttentionOptions, dy?: ArrayLike<number>): Result {
  const [batch, queries, channels] = q.shape as [number, number, number]
  const keys = k.shape[1]!
  const size = channels / options.heads
  const scale = options.scale ?? size ** -0.5
  const o = array64(q.shape)
  const dq = array64(q.shape)
  const dk = array64(k.shape)
  const dv = array64(k.shape)
  for (let n = 0; n < batch; n++) {
    for (let start = 0; start < channels; start += size) {
      for (let i = 0; i < queries; i++) {
        const visible = options.causal ? Math.max(0, Math.min(keys, i + keys - queries + 1)) : keys
        const row = (n * queries + i) * channels + start
        const p = new Float64Array(visible)
        for (let j = 0; j < visible; j++) {
          const key = (n * keys + j) * channels + start
          for (let c = 0; c < size; c++) p[j]! += q.data[row + c]! * k.data[key + c]! * scale
        }
        const max = p.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
        for (let j = 0; j < visible; j++) p[j] = Math.exp(p[j]! - max)
        const sum = p.reduce((a, b) => a + b, 0)
        for (let j = 0; j < visible; j++) {
          const key = (n * keys + j) * channels + start
          p[j]! /= sum
          for (let c = 0; c < size; c++) o.data[row + c]! += p[j]! * v.data[key + c]!
        }
        if (!dy) continue
        let dot = 0
        for (let c = 0; c < size; c++) dot += dy[row + c]! * o.data[row + c]!
        for (let j = 0; j < visible; j++) {
          const key = (n * keys + j) * channels + start
          let dp = 0
          for (let c = 0; c < size; c++) dp += dy[row + c]! * v.data[key + c]!
          const ds = p[j]! * (dp - dot) * scale
          for (let c = 0; c < size; c++) {
            dq.data[row + c]! += ds * k.data[key + c]!
            dk.data[key + c]! += ds * q.data[row + c]!
            dv.data[key + c]! += p[j]! * dy[row + c]!
          }
        }
      }
    }
  }
  return { o, dq, dk, dv }
}

function attentionCase(
  name: string,
  [batch, queries, keys, heads, size]: readonly [number, number, number, number, number],
  options: Partial<AttentionOptions> = {},
): OpCase<AttentionOptions> {
  // With one key the weights are constant: the gradients of q and k are zero, which no relative tolerance fits.
  const gradient = keys > 1
  const q = { shape: [batch, queries, heads * size], scale: 2, gradient }
  const k = { shape: [batch, keys, heads * size], scale: 2, gradient }
  return { name, inputs: [q, k, { ...k, gradient: true }], options: { heads, ...options } }
}

opSuite(attention, {
  gpu: true,
  oracle: ([q, k, v], options) => attention64(q!, k!, v!, options).o,
  tolerance: attentionTolerance,
  gradientTolerance: attentionGradientTolerance,
  cases: [
    attentionCase('one query, one key', [1, 1, 1, 1, 8]),
    attentionCase('one query, many keys', [1, 1, 300, 1, 16]),
    attentionCase('one key', [2, 9, 1, 2, 8]),
    attentionCase('cross-attention with 77 keys', [1, 70, 77, 1, 40]),
    attentionCase('63 queries, head size 80', [1, 63, 63, 1, 80]),
    attentionCase('head size 160', [1, 17, 65, 1, 160]),
    attentionCase('head size 512', [1, 9, 35, 1, 512]),
    attentionCase('head size 200, 65 queries, one key', [1, 65, 1, 1, 200]),
    attentionCase('head size 168, causal', [1, 17, 65, 1, 168], { causal: true }),
    attentionCase('batch of 3, odd head size', [3, 17, 31, 2, 24]),
    attentionCase('several blocks of keys', [1, 20, 300, 1, 16]),
    attentionCase('a scale of its own', [1, 20, 30, 1, 32], { scale: 0.5 }),
    attentionCase('causal, 77 tokens', [1, 77, 77, 1, 64], { causal: true }),
    attentionCase('causal, more keys than queries', [1, 40, 150, 1, 16], { causal: true }),
    attentionCase('causal, queries that see nothing', [1, 70, 30, 1, 8], { causal: true }),
  ],
})

describe('attention where its composition may stand in', () => {
  // One case has a head size that the kernels do not take.
  beforeAll(() => setStrict(false))
  afterAll(() => setStrict(true))
  fixtureSuite(attention, {
    tolerance: attentionTolerance,
    gradientTolerance: attentionGradientTolerance,
    // The composition rounds its scores to bfloat16.
    caseTolerance: ({ name }, dtype) =>
      name === 'oddCausalBatch3' && dtype === 'bfloat16' ? { rms: 2e-2, max: 1e-1 } : null,
  })
})

interface Problem {
  readonly tensors: readonly [Tensor, Tensor, Tensor]
  readonly arrays: readonly [Array64, Array64, Array64]
}

function problem(qShape: Shape, kShape: Shape): Problem {
  const arrays = [qShape, kShape, kShape].map((shape, i) =>
    array64(
      shape,
      pseudoRandom(
        `attention/${i}`,
        shape.reduce((a, b) => a * b),
      ),
    ),
  ) as [Array64, Array64, Array64]
  const tensors = arrays.map(({ shape, data }) => tensor(Float32Array.from(data), shape)) as [Tensor, Tensor, Tensor]
  return { tensors, arrays }
}

describe.each(cpuTargets())('attention on %s', (target) => {
  it.each([
    ['one run of queries and keys', 1, 100, 77, 40, false],
    ['several runs of queries', 1, 1030, 40, 16, false],
    ['several runs of keys', 1, 40, 1030, 16, false],
    ['several runs of both, causal', 1, 600, 1100, 8, true],
  ] as const)('agrees with the formulas of its gradients: %s', async (_name, heads, queries, keys, size, causal) => {
    setCpuTarget(target)
    const { tensors, arrays } = problem([1, queries, heads * size], [1, keys, heads * size])
    for (const t of tensors) t.requiresGrad = true
    const y = attention(...tensors, { heads, causal })
    const dy = pseudoRandom('dy', y.size)
    backward(y, tensor(dy, y.shape))
    const expected = attention64(...arrays, { heads, causal }, dy)
    expectClose('o', await numbers(y), expected.o.data, attentionTolerance.float32)
    expectClose('dq', await numbers(tensors[0].grad!), expected.dq.data, attentionGradientTolerance.float32)
    expectClose('dk', await numbers(tensors[1].grad!), expected.dk.data, attentionGradientTolerance.float32)
    expectClose('dv', await numbers(tensors[2].grad!), expected.dv.data, attentionGradientTolerance.float32)
  })

  it('computes each gradient alike whichever others are wanted', async () => {
    setCpuTarget(target)
    const gradients = async (wanted: readonly number[]): Promise<(ArrayLike<number> | null)[]> => {
      const { tensors } = problem([1, 70, 48], [1, 90, 48])
      for (const i of wanted) tensors[i]!.requiresGrad = true
      backward(attention(...tensors, { heads: 2 }), full([1, 70, 48], 0.5))
      return Promise.all(tensors.map((t) => t.grad && numbers(t.grad)))
    }
    const all = await gradients([0, 1, 2])
    for (const wanted of [[0], [1], [2], [0, 2], [1, 2]]) {
      const some = await gradients(wanted)
      expect(some).toEqual(all.map((gradient, i) => (wanted.includes(i) ? gradient : null)))
    }
  })

  it('saves the log-sum-exp of the scores', async () => {
    setCpuTarget(target)
    const { tensors, arrays } = problem([1, 5, 16], [1, 150, 16])
    const [q, k, v] = tensors
    const saved = addon.attentionForward(q.handle, k.handle, v.handle, 1, false, 3)[1]
    const expected = Float64Array.from({ length: 5 }, (_, i) => {
      let sum = 0
      for (let j = 0; j < 150; j++) {
        let dot = 0
        for (let c = 0; c < 16; c++) dot += arrays[0].data[i * 16 + c]! * arrays[1].data[j * 16 + c]!
        sum += Math.exp(3 * dot)
      }
      return Math.log(sum)
    })
    expectClose('log-sum-exp', await numbers(wrap(saved)), expected, { rms: 1e-6, max: 2e-6 })
  })

  it('gives zeros, not NaN, to queries that see no key', async () => {
    setCpuTarget(target)
    const { tensors } = problem([1, 40, 8], [1, 10, 8])
    for (const t of tensors) t.requiresGrad = true
    const y = attention(...tensors, { heads: 1, causal: true })
    backward(y, full(y.shape, 1))
    const unseen = (data: ArrayLike<number>): number[] => Array.from(data).slice(0, 30 * 8)
    expect(unseen(await numbers(y))).toEqual(new Array(240).fill(0))
    expect(unseen(await numbers(tensors[0].grad!))).toEqual(new Array(240).fill(0))
  })

  it('keeps large scores finite and lets NaN through', async () => {
    setCpuTarget(target)
    const q = full([1, 3, 8], 1e4)
    const v = tensor(pseudoRandom('v', 16), [1, 2, 8])
    expect(Array.from(await numbers(attention(q, full([1, 2, 8], 1e4), v, { heads: 1 })))).not.toContain(Number.NaN)
    const y = await numbers(attention(q, full([1, 2, 8], Number.NaN), v, { heads: 1 }))
    expect(Array.from(y).every(Number.isNaN)).toBe(true)
  })

  it('reads slices of a fused projection in place', async () => {
    setCpuTarget(target)
    const data = pseudoRandom('fused', 2 * 21 * 72)
    const fused = tensor(data, [2, 21, 72])
    const parts = [0, 24, 48].map((offset) =>
      wrap(addon.view(fused.handle, [2, 21, 24], [21 * 72, 72, 1], offset)),
    ) as [Tensor, Tensor, Tensor]
    const copies = [0, 24, 48].map((offset) => {
      const copy = array64([2, 21, 24])
      copy.data.forEach((_, i) => {
        copy.data[i] = data[Math.floor(i / 24) * 72 + offset + (i % 24)]!
      })
      return copy
    }) as [Array64, Array64, Array64]
    const y = attention(...parts, { heads: 3 })
    expectClose('o', await numbers(y), attention64(...copies, { heads: 3 }).o.data, attentionTolerance.float32)
  })
})

describe('attention', () => {
  it('returns the mean of the values where all keys are equal', async () => {
    const v = pseudoRandom('values', 5 * 8)
    const y = await numbers(attention(full([1, 2, 8], 1), full([1, 5, 8], 0.3), tensor(v, [1, 5, 8]), { heads: 1 }))
    const mean = Float64Array.from(
      { length: 8 },
      (_, c) => [0, 1, 2, 3, 4].reduce((sum, j) => sum + v[j * 8 + c]!, 0) / 5,
    )
    expectClose('o', y, [...mean, ...mean], { rms: 1e-6, max: 1e-6 })
  })
  it('copies the first value to the first causal query', async () => {
    const { tensors, arrays } = problem([1, 4, 8], [1, 4, 8])
    const y = await numbers(attention(...tensors, { heads: 1, causal: true }))
    expectClose('row 0', Array.from(y).slice(0, 8), arrays[2].data.slice(0, 8), { rms: 3e-7, max: 1e-6 })
  })
  it('rejects keys of another width', () => {
    expect(() => attention(full([1, 4, 16], 0), full([1, 4, 8], 0), full([1, 4, 8], 0), { heads: 1 })).toThrow(
      'attention: k must be of shape [1, 4, 16], received [1, 4, 8]',
    )
  })
  it('rejects channels that the heads cannot share', () => {
    const x = full([1, 4, 24], 0)
    expect(() => attention(x, x, x, { heads: 5 })).toThrow(
      'attention: the channels of q must be divisible by heads, received 24 and 5',
    )
  })
  it('has no kernel for head sizes that are not multiples of 8', () => {
    const x = full([1, 4, 24], 0)
    expect(() => attention(x, x, x, { heads: 2 })).toThrow(
      'attention: no kernel for this call (the head size 12 is not a multiple of 8)',
    )
  })
  it('rejects heads and scales that are not positive', () => {
    const x = full([1, 4, 8], 0)
    expect(() => attention(x, x, x, { heads: 0 })).toThrow('attention: heads must be a positive integer, received 0')
    expect(() => attention(x, x, x, { heads: 1, scale: -1 })).toThrow('attention: scale must be positive, received -1')
  })
  it('rejects views whose channels are apart', () => {
    const x = full([1, 8, 8], 0)
    const transposed = wrap(addon.view(x.handle, [1, 8, 8], [64, 1, 8], 0))
    expect(() => attention(transposed, x, x, { heads: 1 })).toThrow('attention: q must be with neighbouring channels')
  })
  it('rejects mixed dtypes', () => {
    const x = full([1, 4, 8], 0)
    const half = full([1, 4, 8], 0, { dtype: 'bfloat16' })
    expect(() => attention(x, half, half, { heads: 1 })).toThrow('attention: k must be float32, received bfloat16')
  })
})
