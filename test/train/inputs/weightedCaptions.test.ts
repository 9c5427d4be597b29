import { beforeAll, describe, expect, it } from 'vitest'
import { backward } from '../../../lib/autograd/backward.ts'
import { parseCaptionWeights, tokenizeWeighted } from '../../../lib/models/clip/captionWeights.ts'
import { ClipTextModel } from '../../../lib/models/clip/textModel.ts'
import { type ClipTokenizer, loadClipTokenizer } from '../../../lib/models/clip/tokenizer.ts'
import { mseLoss } from '../../../lib/ops/mseLoss.ts'
import { tensor, zeros } from '../../../lib/tensor/create.ts'
import { scope } from '../../../lib/tensor/scope.ts'
import { CaptionEncoder } from '../../../lib/train/inputs/conditioning.ts'
import { WeightedCaptionEncoder } from '../../../lib/train/inputs/weightedCaptions.ts'
import { loadOracle } from '../../support/dataOracle.ts'
import { formulaValues } from '../../support/formula.ts'
import { formulaWeights, tinyConfigs } from '../../support/tinyModels.ts'

interface Batch {
  /** Indices of prompts. */
  readonly prompts: readonly number[]
  readonly multiples: 1 | 2 | 3
  readonly clipSkip: number | null
  /** Ids of each call of the encoder, which takes a row of every prompt: [call][prompt][77]. */
  readonly chunks: readonly (readonly (readonly number[])[])[]
  readonly weights: readonly (readonly number[])[]
  readonly output: readonly (readonly number[])[]
}

interface WeightedFixture {
  readonly weighted: {
    readonly prompts: readonly {
      readonly text: string
      readonly parsed: readonly (readonly [string, number])[]
      readonly tokens: readonly number[]
      readonly weights: readonly number[]
    }[]
    readonly features: number
    readonly batches: Readonly<Record<'sd1' | 'sd2', readonly Batch[]>>
  }
}

const { prompts, features, batches } = loadOracle<WeightedFixture>('tokens').weighted
const sequenceLengths = { 1: 77, 2: 152, 3: 227 } as const

describe('parseCaptionWeights against sd-scripts', () => {
  it.each(prompts)('agrees for $text', ({ text, parsed }) => {
    const pieces = parseCaptionWeights(text)
    expect(pieces.map((piece) => piece.text)).toEqual(parsed.map(([piece]) => piece))
    pieces.forEach(({ weight }, i) => {
      expect(weight).toBeCloseTo(parsed[i]![1], 12)
    })
  })

  it('takes what looks like a weight and is none as text', () => {
    expect(parseCaptionWeights('(a:1.2.3)')).toEqual([{ text: 'a:1.2.3)', weight: 1.1 }])
  })
})

describe.each(['sd1', 'sd2'] as const)('weighted captions of %s against sd-scripts', (variant) => {
  let tokenizer: ClipTokenizer
  beforeAll(async () => {
    tokenizer = await loadClipTokenizer({ variant })
  })

  it.each(batches[variant])('have the same tokens and weights: $prompts, $multiples rows', (batch) => {
    const texts = batch.prompts.map((at) => prompts[at]!.text)
    const { ids, weights, chunks } = tokenizeWeighted(tokenizer, texts, batch.multiples)
    expect(chunks).toBe(batch.chunks.length)
    batch.prompts.forEach((_, n) => {
      const rows = batch.chunks.flatMap((call) => call[n]!)
      expect(Array.from(ids.subarray(n * chunks * 77, (n + 1) * chunks * 77))).toEqual(rows)
      const expected = Float32Array.from(batch.weights[n]!)
      expect(weights.subarray(n * chunks * 77, (n + 1) * chunks * 77)).toEqual(expected)
    })
  })

  it.each(batches[variant].map((batch, at) => ({ ...batch, at })))(
    'have the same hidden states: $prompts',
    async (batch) => {
      const count = batch.prompts.length
      const calls = batch.chunks.map((_, call) =>
        formulaValues(`weighted/${batch.at}/${call}`, {
          shape: [count, 77, features],
          kind: 'uniform',
          scale: 1,
          offset: 0.5,
        }),
      )
      const size = 77 * features
      const rows = batch.prompts.flatMap((_, n) =>
        calls.flatMap((call) => Array.from(call.subarray(n * size, (n + 1) * size))),
      )
      const model = {
        encode: () => tensor(rows, [count * calls.length, 77, features]),
        registry: { device: 'cpu' as const },
      }
      const sequenceLength = sequenceLengths[batch.multiples]
      const encoder = new WeightedCaptionEncoder(tokenizer, model, { clipSkip: 1, sequenceLength, dtype: 'float32' })
      const states = encoder.encode(batch.prompts.map((at) => prompts[at]!.text))
      expect(states.shape).toEqual([count, calls.length * 77, features])
      const actual = (await states.read()) as Float32Array
      batch.output.flat().forEach((expected, i) => {
        expect(Math.abs(actual[i]! - expected)).toBeLessThan(2e-6 * Math.max(1, Math.abs(expected)))
      })
    },
  )
})

describe('WeightedCaptionEncoder', () => {
  const options = { clipSkip: 1, sequenceLength: 77, dtype: 'float32' } as const

  it('gives captions without brackets the states that CaptionEncoder gives them', async () => {
    const tokenizer = await loadClipTokenizer({ variant: 'sd1' })
    const textEncoder = new ClipTextModel(tinyConfigs.tinySd1.textEncoder, formulaWeights('text_encoder'))
    const captions = ['a photo of a frog', '']
    const weighted = new WeightedCaptionEncoder(tokenizer, textEncoder, options).encode(captions)
    const plain = new CaptionEncoder(tokenizer, textEncoder, options).encode(captions)
    expect(await weighted.read()).toEqual(await plain.read())
  })

  it('passes gradients to the text encoder', async () => {
    const tokenizer = await loadClipTokenizer({ variant: 'sd1' })
    const master = tensor(
      formulaValues('states', { shape: [1, 77, 2], kind: 'uniform', scale: 1, offset: 2 }),
      [1, 77, 2],
    )
    master.requiresGrad = true
    const encoder = new WeightedCaptionEncoder(
      tokenizer,
      { encode: () => master, registry: { device: 'cpu' } },
      options,
    )
    scope(() => backward(mseLoss(encoder.encode(['a (cat:1.5)']), zeros([1, 77, 2]), null)))
    const gradient = (await master.grad!.read()) as Float32Array
    // By finite differences of the same formula in float64.
    const values = Array.from((await master.read()) as Float32Array)
    const weights = tokenizeWeighted(tokenizer, ['a (cat:1.5)'], 1).weights
    const loss = (x: readonly number[]): number => {
      const weighted = x.map((value, i) => value * weights[Math.floor(i / 2)]!)
      const sum = (list: readonly number[]): number => list.reduce((total, value) => total + value, 0)
      const factor = sum(x) / sum(weighted)
      return sum(weighted.map((value) => (value * factor) ** 2)) / x.length
    }
    for (const i of [0, 3, 4, 5, 100]) {
      const [up, down] = [1e-4, -1e-4].map((step) => loss(values.map((value, at) => (at === i ? value + step : value))))
      expect(gradient[i]).toBeCloseTo((up! - down!) / 2e-4, 5)
    }
    master.grad!.dispose()
    master.dispose()
  })
})
