/**
 * Attention, run by its CUDA kernels in the emulation and compared with the CPU's: several tiles of queries and keys for every head
 * size that has a kernel of its own, and the ways that few keys, float32 and wide heads take.
 */
import { describe, expect, it } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { attention } from '../../lib/ops/attention.ts'
import { type Tensor, wrap } from '../../lib/tensor/tensor.ts'
import { expectCloseOnGpu, gradientsOf, randomInput } from '../support/closeOnGpu.ts'
import { canEmulate } from '../support/emulatedGpu.ts'
import { expectClose } from '../support/float64.ts'
import { attentionGradientTolerance, attentionTolerance, numbers, roundedTensor } from '../support/opSuite.ts'

type Float = keyof typeof attentionTolerance

/** queries, keys, heads, head size */
type Sizes = readonly [number, number, number, number]

const cases: readonly (readonly [name: string, dtype: Float, sizes: Sizes, causal: boolean])[] = [
  ['size 40', 'bfloat16', [150, 140, 2, 40], false],
  ['size 40', 'float16', [150, 140, 1, 40], false],
  ['size 64', 'bfloat16', [150, 140, 1, 64], false],
  ['size 64, causal', 'float16', [77, 77, 2, 64], true],
  ['size 80', 'bfloat16', [130, 70, 1, 80], false],
  ['size 80, causal, more keys than queries', 'float16', [70, 140, 1, 80], true],
  ['size 160', 'bfloat16', [70, 100, 1, 160], false],
  ['size 160, causal, fewer keys than queries', 'float16', [140, 70, 1, 160], true],
  ['a size between', 'bfloat16', [70, 70, 1, 48], false],
  ['a size below all', 'float16', [70, 70, 3, 8], false],
  ['many queries of few keys: sums cut into slices', 'bfloat16', [520, 77, 1, 40], false],
  ['many queries of few keys, causal', 'float16', [520, 77, 1, 40], true],
  ['size 512', 'bfloat16', [40, 70, 1, 512], false],
  ['size 512', 'float16', [40, 70, 1, 512], false],
  ['size 512', 'float32', [40, 70, 1, 512], false],
  ['size 512, causal, more keys than queries', 'float16', [63, 130, 1, 512], true],
  ['size 168', 'float16', [65, 130, 2, 168], false],
  ['size 200, causal, a block of queries that see nothing', 'bfloat16', [130, 63, 1, 200], true],
  ['size 504, one query', 'bfloat16', [1, 65, 1, 504], false],
  ['a size above all', 'bfloat16', [20, 70, 1, 520], false],
  ['size 40', 'float32', [70, 77, 2, 40], false],
  ['causal', 'float32', [70, 90, 1, 64], true],
  ['scores of some rows at a time', 'float32', [70, 2056, 8, 8], false],
]

describe.runIf(canEmulate)('attention on the GPU', () => {
  it.each(cases)('%s in %s, %s', async (_name, dtype, [queries, keys, heads, size], causal) => {
    await expectCloseOnGpu(
      (device) => {
        const input = (name: string, tokens: number): Tensor =>
          randomInput(name, [1, tokens, heads * size], dtype, device, 2)
        const inputs = [input('q', queries), input('k', keys), input('v', keys)] as const
        const y = attention(...inputs, { heads, causal })
        return [y, ...gradientsOf(y, inputs)]
      },
      [attentionTolerance[dtype], attentionGradientTolerance[dtype]],
    )
  })

  it.each([
    ['float32', 16],
    ['bfloat16', 16],
    ['float16', 16],
    ['bfloat16', 176],
    ['float16', 176],
  ] as const)('saves the log-sum-exp in %s, size %i', async (dtype, size) => {
    await expectCloseOnGpu(
      (device) => {
        const input = (name: string, tokens: number): Tensor =>
          randomInput(name, [2, tokens, 2 * size], dtype, device, 2)
        const [q, k, v] = [input('q', 40), input('k', 20), input('v', 20)]
        return addon.attentionForward(q.handle, k.handle, v.handle, 2, false, 0.7).map(wrap)
      },
      [attentionTolerance[dtype], dtype === 'float32' ? { rms: 1e-6, max: 4e-6 } : { rms: 1e-5, max: 2e-5 }],
    )
  })

  it.each([
    ['aligned', 24, 3, [0, 24, 48], 72],
    ['at any place', 24, 3, [0, 28, 49], 75],
    ['aligned, large heads', 352, 2, [0, 352, 704], 1056],
    ['at any place, large heads', 352, 2, [0, 353, 707], 1061],
  ] as const)('reads slices of a fused projection in place, %s', async (_name, width, heads, offsets, apart) => {
    await expectCloseOnGpu(
      (device) => {
        const fused = randomInput('fused', [2, 21, apart], 'bfloat16', device)
        const [q, k, v] = offsets.map((offset) =>
          wrap(addon.view(fused.handle, [2, 21, width], [21 * apart, apart, 1], offset)),
        ) as [Tensor, Tensor, Tensor]
        return [attention(q, k, v, { heads })]
      },
      [attentionTolerance.bfloat16],
    )
  })

  it.each(['float32', 'bfloat16'] as const)(
    'computes each gradient alike whichever others are wanted, %s',
    async (dtype) => {
      const gradients = async (wanted: readonly number[]): Promise<unknown[]> => {
        const inputs = ['q', 'k', 'v'].map((name) => randomInput(name, [1, 70, 48], dtype, 'cuda')) as [
          Tensor,
          Tensor,
          Tensor,
        ]
        inputs.forEach((input, i) => {
          input.requiresGrad = wanted.includes(i)
        })
        gradientsOf(attention(...inputs, { heads: 2 }), inputs)
        return Promise.all(inputs.map(async (input) => (input.grad ? input.grad.read() : null)))
      }
      const all = await gradients([0, 1, 2])
      for (const wanted of [[0], [1], [2], [1, 2]])
        expect(await gradients(wanted)).toEqual(all.map((gradient, i) => (wanted.includes(i) ? gradient : null)))
    },
  )

  it.each([
    ['float32', 8],
    ['bfloat16', 8],
    ['bfloat16', 168],
  ] as const)('gives zeros to queries that see no key, and lets NaN through, %s, size %i', async (dtype, size) => {
    const x = (tokens: number, value: number): Tensor =>
      roundedTensor(new Array(tokens * size).fill(value), [1, tokens, size], dtype, 'cuda')
    const blind = await numbers(attention(x(40, 1), x(10, 1), x(10, 1), { heads: 1, causal: true }))
    expect(Array.from(blind).slice(0, 30 * size)).toEqual(new Array(30 * size).fill(0))
    const seeing = Array.from(blind).slice(30 * size)
    expectClose('what the others see', seeing, new Array(10 * size).fill(1), { rms: 1e-6, max: 1e-6 })
    const nan = await numbers(attention(x(3, 1), x(2, Number.NaN), x(2, 1), { heads: 1 }))
    expect(Array.from(nan).every(Number.isNaN)).toBe(true)
  })
})
