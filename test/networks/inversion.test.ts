import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { ClipTextModel } from '../../lib/models/clip/textModel.ts'
import { loadClipTokenizer } from '../../lib/models/clip/tokenizer.ts'
import { UNet } from '../../lib/models/stableDiffusion/unet.ts'
import { InversionNetwork } from '../../lib/networks/inversionNetwork.ts'
import { contiguous } from '../../lib/ops/contiguous.ts'
import { slice } from '../../lib/ops/slice.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { keep } from '../../lib/tensor/scope.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { type Digest, expectDigest } from '../support/digest.ts'
import { loadFixture } from '../support/fixtureCases.ts'
import { formulaValues } from '../support/formula.ts'
import { setIds } from '../support/modelFixture.ts'
import { formulaInput, formulaWeights, tinyConfigs } from '../support/tinyModels.ts'

interface Section {
  readonly ids: readonly (readonly number[])[]
  readonly latents: readonly number[]
  readonly timesteps: readonly number[]
  readonly hidden: Digest
  readonly sample: Digest
  readonly drows: Digest
}

interface InversionFixture {
  readonly single: Section & { readonly clipSkip2: Digest }
  readonly layered: Section & { readonly dcontext: Digest }
}

interface TokenFixture {
  readonly cases: readonly {
    readonly variant: 'sd1' | 'sd2'
    readonly token: string
    readonly vectors: number
    readonly caption: string
    readonly ids: readonly number[]
    readonly lastLayer: readonly number[]
  }[]
  readonly names: readonly string[]
  readonly free: readonly string[]
}

const tokens = loadFixture<TokenFixture>('inversion/tokens.json')
const vocabulary = 49408
const forwardTolerance = { rms: 1e-5, max: 1e-4 }
const gradientTolerance = { rms: 1e-4, max: 1e-3 }

describe('a tokenizer with a new token', () => {
  it.each(tokens.cases)('gives the ids of transformers: $variant $token $vectors $caption', async (each) => {
    const { variant, token, vectors, caption, ids, lastLayer } = each
    const plain = await loadClipTokenizer({ variant })
    const knowing = (first: number) =>
      plain.withTokens([{ text: token, ids: Array.from({ length: vectors }, (_, i) => first + i) }])
    expect(Array.from(knowing(vocabulary).tokenize(caption))).toEqual(ids)
    expect(Array.from(knowing(vocabulary + 15 * vectors).tokenize(caption))).toEqual(lastLayer)
  })

  it('knows which names are free', async () => {
    const tokenizer = await loadClipTokenizer()
    expect(tokens.names.filter((name) => !tokenizer.knows(name))).toEqual(tokens.free)
  })

  it('takes no empty text and none twice', async () => {
    const tokenizer = await loadClipTokenizer()
    expect(() => tokenizer.withTokens([{ text: '', ids: [1] }])).toThrow('an empty text')
    const twice = { text: 'zwxq', ids: [vocabulary] }
    expect(() => tokenizer.withTokens([twice, twice])).toThrow('"zwxq" twice')
  })
})

describe.each(['tinySd1', 'tinySd2'] as const)('new rows of the text encoder of %s', (name) => {
  const fixture = loadFixture<InversionFixture>(`inversion/${name}.json`)
  setIds(name, fixture)
  const config = tinyConfigs[name]

  async function models(section: 'single' | 'layered', count: number) {
    const textEncoder = new ClipTextModel(config.textEncoder, formulaWeights('text_encoder'))
    const unet = new UNet(config.unet, formulaWeights('unet'))
    const shape = [count, config.textEncoder.hiddenSize]
    const values = formulaValues(`${name}/${section}/rows`, { shape, kind: 'normal-like', scale: 0.05 })
    const rows = keep(tensor(values, shape))
    rows.requiresGrad = true
    const layered = section === 'layered'
    const network = new InversionNetwork(textEncoder, await loadClipTokenizer(), rows, { token: 'zwxq', layered })
    return { textEncoder, unet, network, rows }
  }

  it.each([false, true])('give the hidden states and gradients that PyTorch gives, checkpointing %s', async (on) => {
    const { textEncoder, unet, network, rows } = await models('single', 3)
    textEncoder.gradientCheckpointing = on
    const { ids, latents, timesteps, hidden, clipSkip2, sample, drows } = fixture.single
    const table = await textEncoder.tokenEmbedding.read()
    const rowsOfIds = tensor(Int32Array.from(ids.flat()), [2, 77])
    const context = textEncoder.encode(rowsOfIds)
    expectDigest((await context.read()) as Float32Array, hidden, forwardTolerance)
    expectDigest((await textEncoder.encode(rowsOfIds, 2).read()) as Float32Array, clipSkip2, forwardTolerance)
    const predicted = unet.forward(
      formulaInput(`${name}/single/latents`, latents),
      tensor([...timesteps], [2]),
      context,
    )
    expectDigest((await predicted.read()) as Float32Array, sample, forwardTolerance)
    backward(predicted, formulaInput(`${name}/single/dy`, predicted.shape))
    expectDigest((await rows.grad!.read()) as Float32Array, drows, gradientTolerance)
    expect(textEncoder.tokenEmbedding.grad).toBeNull()
    expect(await textEncoder.tokenEmbedding.read()).toEqual(table)
    rows.grad?.dispose()
    for (const part of [network, unet, textEncoder]) part.dispose()
  })

  it('give each cross-attention layer what it attends to', async () => {
    const { textEncoder, unet, network, rows } = await models('layered', 32)
    const { ids, latents, timesteps, hidden, sample, drows } = fixture.layered
    const ofLayer = Array.from({ length: 16 }, (_, layer) =>
      ids.flat().map((id) => (id < vocabulary ? id : id + 2 * layer)),
    )
    const states = textEncoder.encode(tensor(Int32Array.from(ofLayer.flat()), [32, 77]))
    expectDigest((await states.read()) as Float32Array, hidden, forwardTolerance)
    const contexts = ofLayer.map(
      (_, layer): Tensor => contiguous(slice(states, { axis: 0, start: 2 * layer, end: 2 * layer + 2 })),
    )
    const input = formulaInput(`${name}/layered/latents`, latents)
    const predicted = unet.forward(input, tensor([...timesteps], [2]), contexts)
    expectDigest((await predicted.read()) as Float32Array, sample, forwardTolerance)
    backward(predicted, formulaInput(`${name}/layered/dy`, predicted.shape))
    expectDigest((await rows.grad!.read()) as Float32Array, drows, gradientTolerance)
    expect(() => unet.forward(input, tensor([...timesteps], [2]), contexts.slice(1))).toThrow(
      'one tensor, or 16, one for each cross-attention layer',
    )
    rows.grad?.dispose()
    for (const part of [network, unet, textEncoder]) part.dispose()
  })
})
