import { afterAll, describe, expect, it } from 'vitest'
import { noGrad } from '../../lib/autograd/tape.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { attachLoraFile } from '../../lib/networks/attachLora.ts'
import { attachLora } from '../../lib/networks/lora.ts'
import { type LoraFile, readLora } from '../../lib/networks/loraFile.ts'
import { loraDelta, mergeLora } from '../../lib/networks/mergeLora.ts'
import { networkFromFile } from '../../lib/networks/networkFromFile.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { scope } from '../../lib/tensor/scope.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { type Digest, expectDigest } from '../support/digest.ts'
import { loadFixture } from '../support/fixtureCases.ts'
import { loadModelFixture } from '../support/modelFixture.ts'
import { formulaInput, formulaWeights, tinyConfigs } from '../support/tinyModels.ts'
import { loraFormula, shapesOnly } from './shapesOnly.ts'

interface ApplyCase {
  readonly style: string
  readonly keys: Readonly<Record<string, readonly number[]>>
  readonly alphas: Readonly<Record<string, number>>
  readonly metadata: Readonly<Record<string, string>>
  readonly sample: Digest
  readonly lastHidden: Digest
}

const tolerance = { rms: 2e-5, max: 2e-4 }
const prefixes = { unet: 'unet', textEncoder: 'text_encoder', vae: 'vae' } as const

describe.each(['tinySd1', 'tinySd2'] as const)('LoRA files on %s', (name) => {
  const { cases } = loadFixture<{ readonly cases: readonly ApplyCase[] }>(`lora_apply/${name}.json`)
  const fixture = loadModelFixture(name)
  const config = tinyConfigs[name]
  const fresh = (): StableDiffusion => new StableDiffusion(config, (part) => formulaWeights(prefixes[part]))
  const models = fresh()
  afterAll(() => models.dispose())

  const open = ({ keys, alphas, metadata, style }: ApplyCase): Promise<LoraFile> => {
    const values = (key: string, shape: readonly number[]): Float32Array =>
      key in alphas ? Float32Array.of(alphas[key]!) : loraFormula(key, shape)
    return readLora(shapesOnly(`${style}.safetensors`, keys, { metadata, values }), config)
  }

  /** What the fixtures hold: the U-Net's and the text encoder's output for the inputs of scripts/reference/models.py. */
  const outputs = async ({ unet, textEncoder }: StableDiffusion): Promise<[Float32Array, Float32Array]> => {
    const section = fixture.unet
    const [sample, hidden] = noGrad(() => [
      scope(() => {
        const latents = formulaInput(`${name}/unet/latents`, section.latents)
        const context = formulaInput(`${name}/unet/context`, section.context)
        return unet.forward(latents, tensor(Float32Array.from(section.timesteps), [2]), context)
      }),
      scope(() => textEncoder.encode(tensor(Int32Array.from(fixture.text.ids.flat()), [2, 77]))),
    ])
    const read = [(await sample!.read()) as Float32Array, (await hidden!.read()) as Float32Array] as const
    sample!.dispose()
    hidden!.dispose()
    return [...read]
  }

  const expectCase = async (model: StableDiffusion, { sample, lastHidden }: ApplyCase): Promise<void> => {
    const [unet, text] = await outputs(model)
    expectDigest(unet, sample, tolerance)
    expectDigest(text, lastHidden, tolerance)
  }

  const ofStyle = (style: string): ApplyCase => cases.find((entry) => entry.style === style)!

  it.each(cases)('do what they do in PyTorch when attached, and nothing when taken off: $style', async (entry) => {
    const without = await outputs(models)
    const before = await baselineBuffers()
    const detach = await attachLoraFile(await open(entry), models)
    await expectCase(models, entry)
    detach()
    expect(await outputs(models)).toEqual(without)
    expect(await liveBuffers()).toBe(before)
    expect(() => expectDigest(without[0], entry.sample, tolerance)).toThrow(entry.style)
    expect(() => expectDigest(without[1], entry.lastHidden, tolerance)).toThrow(entry.style)
  })

  it.each(cases)('do the same when merged: $style', async (entry) => {
    const merged = fresh()
    const lora = await open(entry)
    expect(await mergeLora(merged, lora)).toBe(lora.modules.length)
    await expectCase(merged, entry)
    merged.dispose()
  })

  it('go on as a network with the ranks and alphas of the file, and are saved as they were', async () => {
    const entry = ofStyle('kohyaConv')
    const lora = await open(entry)
    const network = await networkFromFile(models, lora, { seed: 1 })
    await expectCase(models, entry)
    expect(network.modules.map(({ rank, alpha, branch }) => [rank, alpha, branch.scale])).toEqual(
      lora.modules.map(({ rank, alpha }) => [rank, alpha, alpha / rank!]),
    )
    const saved = await network.toKohya()
    network.dispose()
    for (const { name: module, alpha, weights } of saved) {
      expect(alpha).toBe(entry.alphas[`${module}.alpha`])
      expect(Object.keys(weights)).toEqual(['lora_down.weight', 'lora_up.weight'])
      for (const [tail, weight] of Object.entries(weights)) {
        const key = `${module}.${tail}`
        expect(weight.shape, key).toEqual(entry.keys[key])
        expect(weight.values, key).toEqual(loraFormula(key, weight.shape))
      }
    }
    const detach = attachLora(saved, models)
    await expectCase(models, entry)
    detach()
  })

  it('weigh each part by its own multiplier', async () => {
    const lora = await open(ofStyle('comfyui'))
    const without = await outputs(models)
    const detach = await attachLoraFile(lora, models, { textEncoderMultiplier: 0 })
    const [unet, text] = await outputs(models)
    expectDigest(unet, ofStyle('comfyui').sample, tolerance)
    expect(text).toEqual(without[1])
    detach()
    // Added and taken away again: what is left is rounding.
    const there = fresh()
    await mergeLora(there, lora, { multiplier: 0.5 })
    await mergeLora(there, lora, { multiplier: -0.5 })
    const [back] = await outputs(there)
    const error = Math.max(...back.map((value, i) => Math.abs(value - without[0][i]!)))
    expect(error).toBeLessThan(1e-4)
    there.dispose()
  })

  it('have the sum of products over the rank as delta, kernels too', async () => {
    const { modules } = await open(ofStyle('kohyaConv'))
    for (const path of ['down_blocks.1.resnets.0.conv1', 'mid_block.attentions.0.proj_in']) {
      const module = modules.find(({ layer }) => layer.path === path)!
      const [down, up] = await Promise.all(Object.values(module.weights).map((matrix) => matrix.read()))
      const rank = module.rank!
      const { shape, values } = await loraDelta(module, 2)
      expect(shape).toEqual(module.layer.shape)
      const columns = values.length / shape[0]!
      for (let i = 0; i < values.length; i += 101) {
        const [o, column] = [Math.floor(i / columns), i % columns]
        let sum = 0
        for (let r = 0; r < rank; r++) sum += up![o * rank + r]! * down![r * columns + column]!
        expect(values[i]).toBeCloseTo((2 * module.alpha * sum) / rank, 6)
      }
    }
  })

  it('are refused for a model of another size before anything changes', async () => {
    const other = new StableDiffusion(tinyConfigs[name === 'tinySd1' ? 'tinySd2' : 'tinySd1'], (part) =>
      formulaWeights(prefixes[part]),
    )
    const lora = await open(ofStyle('kohya'))
    await expect(mergeLora(other, lora)).rejects.toThrow('as the LoRA was opened for')
    await expect(attachLoraFile(lora, other)).rejects.toThrow('as the LoRA was opened for')
    expect([...other.unet.registry.linears.values()].every((layer) => layer.branch === null)).toBe(true)
    other.dispose()
  })
})
