import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { ldmKeys } from '../../lib/checkpoints/keys/ldmKeys.ts'
import { repairKey } from '../../lib/checkpoints/keys/textEncoder.ts'
import { parameterRequests } from '../../lib/checkpoints/parameterList.ts'
import { type StableDiffusionConfig, sd1, sd2, tinySd1, tinySd2 } from '../../lib/models/stableDiffusion/config.ts'
import type { ModelPart } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { elementCount } from '../../lib/tensor/shape.ts'
import { liveBuffers } from '../support/device.ts'

type Row = readonly [key: string, name: string, third?: number]
/** Written by the conversion functions of diffusers: see scripts/reference/ldmKeys.py. */
const truth: Readonly<Record<'unet' | 'vae' | 'text1' | 'text2', readonly Row[]>> = JSON.parse(
  readFileSync(new URL('../fixtures/ldmKeys/keys.json', import.meta.url), 'utf8'),
)
const parts = ['unet', 'textEncoder', 'vae'] as const

const tables: readonly (readonly [string, ModelPart, StableDiffusionConfig, readonly Row[], number])[] = [
  ['the U-Net of 1.x', 'unet', sd1, truth.unet, 686],
  ['the U-Net of 2.x', 'unet', sd2, truth.unet, 686],
  ['the VAE', 'vae', sd1, truth.vae, 248],
  ['the text encoder of 1.x', 'textEncoder', sd1, truth.text1, 196],
  ['the text encoder of 2.x', 'textEncoder', sd2, truth.text2, 372],
]

describe('the keys of single-file checkpoints', () => {
  it.each(tables)('are those of diffusers for %s, both ways, none left over', (_name, part, config, rows, count) => {
    const keys = ldmKeys(part, config)
    const requests = parameterRequests(part, config)
    expect(requests).toHaveLength(count)
    const expected = new Map(rows.map(([key, name, third]) => [name, { key, third: third ?? null }]))
    expect(expected.size).toBe(count)
    for (const { name } of requests) {
      expect(keys.toLdm(name), name).toEqual(expected.get(name))
      expected.delete(name)
    }
    expect([...expected.keys()]).toEqual([])
    for (const key of new Set(rows.map(([key]) => key)))
      expect(keys.toOurs(key).toSorted()).toEqual(
        rows
          .filter((row) => row[0] === key)
          .map((row) => row[1])
          .sort(),
      )
  })

  it.each([
    ['1.x', sd1, [859_520_964, 123_060_480, 83_653_863]],
    ['2.x', sd2, [865_910_724, 340_387_840, 83_653_863]],
  ] as const)('belong to the published parameter counts of %s', (_name, config, counts) => {
    const found = parts.map((part) =>
      parameterRequests(part, config).reduce((sum, { shape }) => sum + elementCount(shape), 0),
    )
    expect(found).toEqual(counts)
  })

  const odd = {
    ...tinySd1,
    unet: { ...tinySd1.unet, blockOutChannels: [32, 64, 64], layersPerBlock: 3, heads: [4, 4, 4] },
  }
  it.each([
    ['tiny 1', tinySd1],
    ['tiny 2', tinySd2],
    ['three levels of three', { ...odd, vae: { ...odd.vae, blockOutChannels: [16, 32], layersPerBlock: 1 } }],
  ])('follow from the sizes: %s there and back', (_name, config) => {
    for (const part of parts) {
      const keys = ldmKeys(part, config)
      const seen = new Set<string>()
      for (const { name } of parameterRequests(part, config)) {
        const slot = keys.toLdm(name)
        if (slot === undefined) throw new Error(`${name} has no key`)
        expect(keys.toOurs(slot.key)[slot.third ?? 0]).toBe(name)
        const place = `${slot.key}/${slot.third}`
        expect(seen.has(place), place).toBe(false)
        seen.add(place)
      }
    }
  })

  it('number the blocks of three levels of three resnets each', () => {
    const keys = ldmKeys('unet', odd)
    const key = (name: string) => keys.toLdm(name)?.key
    expect(key('down_blocks.0.downsamplers.0.conv.bias')).toBe('model.diffusion_model.input_blocks.4.0.op.bias')
    expect(key('down_blocks.2.resnets.2.conv1.bias')).toBe('model.diffusion_model.input_blocks.11.0.in_layers.2.bias')
    expect(key('up_blocks.0.upsamplers.0.conv.bias')).toBe('model.diffusion_model.output_blocks.3.1.conv.bias')
    expect(key('up_blocks.1.upsamplers.0.conv.bias')).toBe('model.diffusion_model.output_blocks.7.2.conv.bias')
    expect(key('up_blocks.2.resnets.3.norm1.bias')).toBe('model.diffusion_model.output_blocks.11.0.in_layers.0.bias')
  })

  it('know no parameters of other models', () => {
    const unet = ldmKeys('unet', sd1)
    expect(unet.toLdm('add_embedding.linear_1.weight')).toBeUndefined()
    expect(unet.toLdm('down_blocks.3.attentions.0.norm.weight')).toBeUndefined()
    for (const key of ['label_emb.0.0.weight', 'input_blocks.12.0.in_layers.0.weight', 'input_blocks.1.0.norm1.weight'])
      expect(unet.toOurs(`model.diffusion_model.${key}`)).toEqual([])
    expect(unet.toOurs('model_ema.diffusion_modelinput_blocks00weight')).toEqual([])
    const text = ldmKeys('textEncoder', sd2)
    for (const key of ['text_projection', 'logit_scale', 'transformer.resblocks.23.attn.in_proj_weight'])
      expect(text.toOurs(`cond_stage_model.model.${key}`)).toEqual([])
    expect(text.toLdm('text_model.encoder.layers.23.self_attn.q_proj.weight')).toBeUndefined()
    expect(ldmKeys('vae', sd1).toOurs('first_stage_model.encoder.down.0.block.0.conv_shortcut.weight')).toEqual([])
  })

  it('leave no tensor behind when a model is only listed', async () => {
    const before = await liveBuffers()
    parameterRequests('unet', sd1)
    expect(await liveBuffers()).toBe(before)
  })
})

describe('repairKey', () => {
  it('inserts the segment that some 1.x files lack, and touches nothing else', () => {
    const prefix = 'cond_stage_model.transformer.'
    for (const rest of ['embeddings.position_ids', 'encoder.layers.0.mlp.fc1.bias', 'final_layer_norm.weight'])
      expect(repairKey(prefix + rest)).toBe(`${prefix}text_model.${rest}`)
    for (const key of [
      `${prefix}text_model.final_layer_norm.weight`,
      `${prefix}other.weight`,
      'encoder.conv_in.weight',
    ])
      expect(repairKey(key)).toBe(key)
  })
})
