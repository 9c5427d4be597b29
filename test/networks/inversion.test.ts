import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { noGrad } from '../../lib/autograd/tape.ts'
import { ClipTextModel } from '../../lib/models/clip/textModel.ts'
import { tokenCounter } from '../../lib/models/clip/tokenCounter.ts'
import { loadClipTokenizer } from '../../lib/models/clip/tokenizer.ts'
import { UNet } from '../../lib/models/stableDiffusion/unet.ts'
import { attachInversion, InversionNetwork } from '../../lib/networks/inversionNetwork.ts'
import { readTextualInversion, writeTextualInversion } from '../../lib/networks/textualInversion.ts'
import { contiguous } from '../../lib/ops/contiguous.ts'
import { slice } from '../../lib/ops/slice.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'
import { keep, scope } from '../../lib/tensor/scope.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { type Digest, expectDigest } from '../support/digest.ts'
import { loadFixture } from '../support/fixtureCases.ts'
import { formulaValues } from '../support/formula.ts'
import { setIds } from '../support/modelFixture.ts'
import { makeFolder } from '../support/pictures.ts'
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

  it('takes the longest of several tokens that fit', async () => {
    const tokens = [
      { text: 'frog', ids: [vocabulary] },
      { text: 'frogs', ids: [vocabulary + 1] },
      { text: 'og', ids: [vocabulary + 2] },
    ]
    const tokenizer = (await loadClipTokenizer()).withTokens(tokens.slice(0, 1)).withTokens(tokens.slice(1))
    expect(tokenizer.encode('frogs frog og')).toEqual([vocabulary + 1, vocabulary, vocabulary + 2])
  })

  it('names it in decoded texts, counts it as it encodes it, and leaves the tokenizer it was made from alone', async () => {
    const plain = await loadClipTokenizer()
    const before = plain.encode('a <frog>')
    const tokenizer = plain.withTokens([{ text: '<frog>', ids: [vocabulary, vocabulary + 1] }])
    expect(tokenizer.knows('<frog>')).toBe(true)
    expect(tokenizer.decode(tokenizer.encode('A photo of a <frog>, red'))).toBe('a photo of a <frog> <frog>1 , red')
    expect(tokenCounter(tokenizer)('a <frog>, two <frog>s')).toBe(1 + 2 + 1 + 1 + 2 + 1)
    expect(plain.encode('a <frog>')).toEqual(before)
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

  it.each([false, true])('give each cross-attention layer what it attends to, checkpointing %s', async (on) => {
    const { textEncoder, unet, network, rows } = await models('layered', 32)
    textEncoder.gradientCheckpointing = on
    unet.gradientCheckpointing = on
    const { ids, latents, timesteps, hidden, sample, dcontext, drows } = fixture.layered
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
    // What each layer sends back to its own context, computed with pauses.
    const leaves = await Promise.all(contexts.map(async (context) => tensor(await context.read(), context.shape)))
    for (const leaf of leaves) leaf.requiresGrad = true
    const turn = async (): Promise<void> => {}
    const paused = await unet.forwardInTurns(input, tensor([...timesteps], [2]), leaves, { turn })
    expect(await paused.read()).toEqual(await predicted.read())
    backward(paused, formulaInput(`${name}/layered/dy`, paused.shape))
    const gradients = await Promise.all(leaves.map(({ grad }) => grad!.read()))
    const joined = Float32Array.from(gradients.flatMap((gradient) => Array.from(gradient as Float32Array)))
    expectDigest(joined, dcontext, gradientTolerance)
    expect(() => unet.forward(input, tensor([...timesteps], [2]), contexts.slice(1))).toThrow(
      'one tensor, or 16, one for each cross-attention layer',
    )
    rows.grad?.dispose()
    for (const part of [network, unet, textEncoder]) part.dispose()
  })

  it.each([
    ['single', '.pt'],
    ['single', '.ckpt'],
    ['single', '.safetensors'],
    ['layered', '.pt'],
    ['layered', '.ckpt'],
    ['layered', '.safetensors'],
  ] as const)('mean the same in prompts when they come back from a file: %s, %s', async (section, extension) => {
    const baseline = await baselineBuffers()
    const { textEncoder, unet, network } = await models(section, section === 'single' ? 3 : 32)
    const states = async ({ tokenizers }: InversionNetwork): Promise<Float32Array> => {
      const ids = tokenizers.flatMap((tokenizer) => Array.from(tokenizer.tokenize('a photo of zwxq, green')))
      const shape = [tokenizers.length, 77]
      const hidden = noGrad(() => scope(() => textEncoder.encode(tensor(Int32Array.from(ids), shape))))
      const values = (await hidden.read()) as Float32Array
      hidden.dispose()
      return values
    }
    const path = join(await makeFolder(), `zwxq${extension}`)
    await writeTextualInversion(path, await network.toFile())
    const expected = await states(network)
    const file = await readTextualInversion(path, config.textEncoder)
    const attached = attachInversion(file, textEncoder, await loadClipTokenizer(), 'zwxq')
    expect(attached.vectorCount).toBe(section === 'single' ? 3 : 2)
    expect(await attached.toFile()).toEqual(await network.toFile())
    expect(await states(attached)).toEqual(expected)
    attached.dispose()
    expect(textEncoder.addedEmbedding).toBe(network.rows)
    network.dispose()
    expect(textEncoder.addedEmbedding).toBeNull()
    for (const part of [unet, textEncoder]) part.dispose()
    expect(await liveBuffers()).toBeLessThanOrEqual(baseline)
  })

  it('are refused where they do not fit', async () => {
    const { textEncoder, unet, network } = await models('single', 3)
    const tokenizer = await loadClipTokenizer()
    const { hiddenSize } = config.textEncoder
    const make = (shape: readonly number[], layered: boolean): InversionNetwork =>
      new InversionNetwork(textEncoder, tokenizer, zeros(shape), { token: 'zwxq', layered })
    expect(() => make([1, 8], false)).toThrow(`rows must be of shape [n, ${hiddenSize}], received [1, 8]`)
    expect(() => make([17, hiddenSize], true)).toThrow(`rows must be of shape [16 * n, ${hiddenSize}]`)
    expect(textEncoder.addedEmbedding).toBe(network.rows)
    for (const part of [network, unet, textEncoder]) part.dispose()
  })
})
