import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type StableDiffusionConfig, sd1, sd2, tinySd1, tinySd2 } from '../../lib/models/stableDiffusion/config.ts'
import { layerShapes } from '../../lib/models/stableDiffusion/layerShapes.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { readLora } from '../../lib/networks/loraFile.ts'
import { type LoraStyle, layerNames } from '../../lib/networks/loraKeys/names.ts'
import { parseLoraKey } from '../../lib/networks/loraKeys/parseKey.ts'
import { resolveLoraKeys } from '../../lib/networks/loraKeys/resolve.ts'
import { loraTensors } from '../../lib/networks/writeLora.ts'
import { fileShape } from '../../lib/nn/weights.ts'
import { CheckpointError } from '../../lib/util/errors.ts'
import { loadFixture } from '../support/fixtureCases.ts'
import { formulaWeights } from '../support/tinyModels.ts'
import { shapesOnly } from './shapesOnly.ts'

interface KeyList {
  readonly version: 1 | 2
  readonly style: LoraStyle
  readonly keys: Readonly<Record<string, readonly number[]>>
}

const configs: Readonly<Record<1 | 2, StableDiffusionConfig>> = { 1: sd1, 2: sd2 }
const lists = readdirSync(new URL('../fixtures/lora_keys', import.meta.url)).map((name) => ({
  name: name.replace('.json', ''),
  list: loadFixture<KeyList>(`lora_keys/${name}`),
}))

describe('layerShapes', () => {
  for (const [name, config] of Object.entries({ tinySd1, tinySd2 })) {
    it(`lists the layers of ${name} as the model has them`, () => {
      const prefixes = { unet: 'unet', textEncoder: 'text_encoder', vae: 'vae' } as const
      const models = new StableDiffusion(config, (part) => formulaWeights(prefixes[part]))
      const listed = new Map(layerShapes(config).map((layer) => [`${layer.part} ${layer.path}`, layer.shape]))
      for (const part of ['textEncoder', 'unet'] as const) {
        const { parameters, linears, convs } = models[part].registry
        for (const path of [...linears.keys(), ...convs.keys()]) {
          const { shape, layout } = parameters.get(`${path}.weight`)!
          expect(listed.get(`${part} ${path}`), path).toEqual(fileShape(shape, layout))
          listed.delete(`${part} ${path}`)
        }
      }
      expect([...listed.keys()]).toEqual([])
      models.dispose()
    })
  }

  it('counts what the published models have', () => {
    const count = (config: StableDiffusionConfig, pattern: RegExp): number =>
      layerShapes(config).filter(({ path }) => pattern.test(path)).length
    expect([count(sd1, /^text_model/), count(sd2, /^text_model/)]).toEqual([72, 138])
    expect(count(sd1, /\.attentions\./)).toBe(192)
    expect(count(sd1, /resnets|samplers/)).toBe(86)
  })
})

describe('the names of layers', () => {
  it('mean one layer each, in the published models', () => {
    for (const config of [sd1, sd2]) {
      const names = layerNames(config)
      expect(new Set([...names.values()].map(({ layer }) => layer)).size).toBe(layerShapes(config).length)
      for (const style of ['kohya', 'kohyaLdm', 'diffusers', 'comfyui'] as const) {
        const styled = [...names.values()].filter((entry) => entry.style === style)
        const layers = new Set(styled.map(({ layer }) => layer.path))
        const all = layerShapes(config).filter(({ part }) => style !== 'kohyaLdm' || part === 'unet')
        expect(layers.size, style).toBe(all.length)
      }
    }
  })
})

describe('a LoRA of each style', () => {
  it('is among the fixtures', () => {
    expect(new Set(lists.map(({ list }) => list.style))).toEqual(
      new Set<LoraStyle>(['kohya', 'kohyaLdm', 'diffusers', 'diffusersOld', 'comfyui']),
    )
  })

  for (const { name, list } of lists) {
    const config = configs[list.version]

    it(`loads with no key left over: ${name}`, async () => {
      const lora = await readLora(shapesOnly(`${name}.safetensors`, list.keys), config)
      expect(lora.style).toBe(list.style)
      expect(lora.unused).toEqual([])
      const downs = Object.keys(list.keys).filter((key) => parseLoraKey(key)?.tensor === 'lora_down.weight')
      expect(lora.modules).toHaveLength(downs.length)
      expect(new Set(lora.modules.map(({ layer }) => `${layer.part} ${layer.path}`)).size).toBe(downs.length)
    })

    it(`becomes kohya's, ComfyUI's and PEFT's keys and is found again: ${name}`, async () => {
      const lora = await readLora(shapesOnly(`${name}.safetensors`, list.keys), config)
      for (const style of ['kohya', 'comfyui', 'diffusers'] as const) {
        const tensors = loraTensors(lora.modules, { config, style })
        const keys = Object.fromEntries(tensors.map((tensor) => [tensor.name, tensor.shape]))
        const again = await readLora(shapesOnly('x.safetensors', keys), config)
        expect(again.style).toBe(style)
        expect(again.modules.map(({ layer }) => layer)).toEqual(lora.modules.map(({ layer }) => layer))
      }
    })
  }

  it('is written with exactly the keys of the same LoRA in the other style', async () => {
    const find = (wanted: string): KeyList => lists.find(({ name }) => name === wanted)!.list
    const convert = async (from: string, style: 'kohya' | 'comfyui' | 'diffusers'): Promise<unknown> => {
      const { version, keys } = find(from)
      const lora = await readLora(shapesOnly('x.safetensors', keys), configs[version])
      const tensors = loraTensors(lora.modules, { config: configs[version], style })
      return Object.fromEntries(tensors.map(({ name, shape }) => [name, shape]))
    }
    expect(await convert('diffusersFlat', 'kohya')).toEqual(find('kohya').keys)
    expect(await convert('comfyuiSd2', 'kohya')).toEqual(find('kohyaSd2').keys)
    expect(await convert('kohyaSd2', 'comfyui')).toEqual(find('comfyuiSd2').keys)
    expect(await convert('kohyaLdm', 'comfyui')).toEqual(find('comfyui').keys)
    expect(await convert('diffusers', 'diffusers')).toEqual(find('diffusers').keys)
  })
})

describe('resolveLoraKeys', () => {
  const good = 'lora_unet_mid_block_attentions_0_proj_in'
  const resolve = (...keys: string[]): unknown => resolveLoraKeys('x.safetensors', keys, sd1)
  const pair = [`${good}.lora_down.weight`, `${good}.lora_up.weight`]

  it('names what it refuses', () => {
    const refused: readonly (readonly [key: string, words: string])[] = [
      [`${good}.dora_scale`, 'DoRA'],
      ['unet.mid_block.attentions.0.proj_in.lora_magnitude_vector.weight', 'DoRA'],
      [`${good}.hada_t1`, 'a Tucker-decomposed LoHa'],
      [`${good}.lokr_t2`, 'a Tucker-decomposed LoKr'],
      [`${good}.a1.weight`, 'GLoRA'],
      [`${good}.oft_blocks`, 'OFT'],
      [`${good}.on_input`, 'IA3'],
      [`${good}.diff_b`, 'full weight differences'],
      [`${good}.lora_mid.weight`, 'Tucker'],
      ['unet.mid_block.attentions.0.proj_in.lora_B.bias', 'biases'],
      ['lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight', 'Stable Diffusion XL'],
      ['lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q.lora_down.weight', 'Stable Diffusion XL'],
      ['lora_unet_double_blocks_0_img_attn_proj.lora_down.weight', 'Flux'],
      ['lora_unet_joint_blocks_0_x_block_attn_proj.lora_down.weight', 'Stable Diffusion 3'],
      ['emb_params', 'textual inversion'],
    ]
    for (const [key, words] of refused) {
      expect(() => resolve(...pair, key), key).toThrow(CheckpointError)
      expect(() => resolve(...pair, key), key).toThrow(words)
    }
  })

  it('refuses a key of no layer with the nearest name, or lists it on demand', () => {
    const wrong = `${good}_.lora_down.weight`
    expect(() => resolve(...pair, wrong)).toThrow(`"${wrong}". Did you mean "${good}"?`)
    expect(() => resolve(...pair, 'what.ever', 'else')).toThrow('"what.ever" and 1 more')
    const { modules, unused } = resolveLoraKeys('x', [...pair, wrong], sd1, { allowUnknown: true })
    expect(modules).toHaveLength(1)
    expect(unused).toEqual([wrong])
  })

  it('refuses half a module, two names for one tensor, and a file without modules', () => {
    expect(() => resolve(pair[0]!)).toThrow('stands alone: lora_up.weight not found')
    expect(() => resolve(...pair, 'unet.mid_block.attentions.0.proj_in.lora_A.weight')).toThrow('the same tensor')
    expect(() => resolve(`${good}.alpha`)).toThrow('stands alone')
    expect(() => resolve()).toThrow('found no weights of such')
  })

  it('says for which model a LoRA of other sizes is', async () => {
    const { keys } = lists.find(({ name }) => name === 'kohya')!.list
    const cross = Object.entries(keys).filter(([key]) => key.includes('attn2_to_k'))
    const file = shapesOnly('x.safetensors', Object.fromEntries(cross))
    await expect(readLora(file, sd2)).rejects.toThrow('The file is for Stable Diffusion 1.x.')
    const short = shapesOnly('x.safetensors', { ...keys, [`${good}.lora_up.weight`]: [1280, 3, 1, 1] })
    await expect(readLora(short, sd1)).rejects.toThrow(
      'found lora_down.weight [8, 1280, 1, 1] and lora_up.weight [1280, 3, 1, 1]',
    )
  })
})
