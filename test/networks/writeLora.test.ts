import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openTensorFile } from '../../lib/io/openTensorFile.ts'
import { writeSafetensors } from '../../lib/io/safetensors.ts'
import { tinySd1 } from '../../lib/models/stableDiffusion/config.ts'
import { readKohyaLora } from '../../lib/networks/kohyaLora.ts'
import { type LoraFile, readLora } from '../../lib/networks/loraFile.ts'
import { loraDelta } from '../../lib/networks/mergeLora.ts'
import { writeLora } from '../../lib/networks/writeLora.ts'
import { loraFormula, shapesOnly } from './shapesOnly.ts'

/** A projection stored as a matrix, one stored as a convolution, a kernel, a text encoder layer; alpha 3 for the first only. */
const shapes: Readonly<Record<string, readonly number[]>> = {
  'lora_unet_mid_block_attentions_0_proj_in.lora_down.weight': [4, 64],
  'lora_unet_mid_block_attentions_0_proj_in.lora_up.weight': [64, 4],
  'lora_unet_mid_block_attentions_0_proj_in.alpha': [],
  'lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight': [2, 64, 1, 1],
  'lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_up.weight': [64, 2, 1, 1],
  'lora_unet_down_blocks_0_resnets_0_conv1.lora_down.weight': [2, 32, 3, 3],
  'lora_unet_down_blocks_0_resnets_0_conv1.lora_up.weight': [32, 2],
  'lora_te_text_model_encoder_layers_1_mlp_fc1.lora_down.weight': [4, 32],
  'lora_te_text_model_encoder_layers_1_mlp_fc1.lora_up.weight': [64, 4],
}

const open = (metadata: Readonly<Record<string, string>> = {}): Promise<LoraFile> => {
  const values = (key: string, shape: readonly number[]): Float32Array =>
    shape.length === 0 ? Float32Array.of(3) : loraFormula(key, shape)
  return readLora(shapesOnly('source.safetensors', shapes, { metadata, values }), tinySd1)
}

let folder: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'noisewright-lora-'))
})
afterEach(async () => {
  await fs.rm(folder, { recursive: true, force: true })
})

describe('readLora', () => {
  it('takes the rank as alpha where the file has none, and matrices for convolutions and the other way', async () => {
    const { modules, metadata } = await open({ ss_v2: 'False' })
    const facts = modules.map(({ layer, rank, alpha, weights }) => {
      return [layer.path, rank, alpha, ...Object.values(weights).map(({ shape }) => shape)]
    })
    expect(facts).toEqual([
      ['text_model.encoder.layers.1.mlp.fc1', 4, 4, [4, 32], [64, 4]],
      ['down_blocks.0.resnets.0.conv1', 2, 2, [2, 32, 3, 3], [32, 2, 1, 1]],
      ['mid_block.attentions.0.proj_in', 4, 3, [4, 64, 1, 1], [64, 4, 1, 1]],
      ['mid_block.attentions.0.transformer_blocks.0.attn1.to_q', 2, 2, [2, 64], [64, 2]],
    ])
    expect(Object.fromEntries(metadata)).toEqual({ ss_v2: 'False' })
  })

  it("takes alphas from PEFT's adapter_config.json beside an adapter_model file", async () => {
    const path = join(folder, 'adapter_model.safetensors')
    const zeros = (name: string, shape: readonly number[]) => {
      const data = new Uint8Array(4 * shape.reduce((count, size) => count * size, 1))
      return { name: `base_model.model.${name}`, dtype: 'F32' as const, shape, data }
    }
    await writeSafetensors(path, [
      zeros('mid_block.attentions.0.proj_in.lora_A.weight', [4, 64, 1, 1]),
      zeros('mid_block.attentions.0.proj_in.lora_B.weight', [64, 4, 1, 1]),
      zeros('conv_in.lora_A.weight', [4, 4, 3, 3]),
      zeros('conv_in.lora_B.weight', [32, 4, 1, 1]),
    ])
    const alphas = async (config: unknown): Promise<number[]> => {
      await fs.writeFile(join(folder, 'adapter_config.json'), JSON.stringify(config))
      const lora = await readLora(path, tinySd1)
      await lora.close()
      return lora.modules.map(({ alpha }) => alpha)
    }
    expect(await alphas({ r: 4, lora_alpha: 16 })).toEqual([16, 16])
    expect(await alphas({ lora_alpha: 16, alpha_pattern: { 'attentions.0.proj_in': 6 } })).toEqual([16, 6])
    // Scaled by alpha / sqrt(rank): alpha / rank for an alpha sqrt(rank) times as large.
    expect(await alphas({ lora_alpha: 16, use_rslora: true })).toEqual([32, 32])
    expect(await alphas({})).toEqual([4, 4])
    await expect(alphas({ use_dora: true })).rejects.toThrow('DoRA')
    await expect(alphas([])).rejects.toThrow('not a JSON object')
  })

  it('refuses an alpha that is no number', async () => {
    const key = 'lora_unet_mid_block_attentions_0_proj_in.alpha'
    const values = (name: string, shape: readonly number[]): Float32Array =>
      name === key ? Float32Array.of(Number.NaN) : loraFormula(name, shape)
    await expect(readLora(shapesOnly('x.pt', shapes, { values }), tinySd1)).rejects.toThrow(`"${key}"`)
  })
})

describe('writeLora', () => {
  for (const style of ['kohya', 'diffusers', 'comfyui'] as const) {
    it.each(['safetensors', 'pt'])(`keeps what every module adds, in ${style} keys and %s files`, async (extension) => {
      const source = await open({ ss_v2: 'False', sshs_model_hash: 'old', lora_adapter_metadata: '{"lora_alpha": 9}' })
      const path = join(folder, `converted.${extension}`)
      expect(await writeLora(path, source.modules, { config: tinySd1, style, metadata: source.metadata })).toBe(
        (await fs.stat(path)).size,
      )
      const converted = await readLora(path, tinySd1)
      expect(converted.style).toBe(style)
      expect(converted.modules.map(({ layer }) => layer)).toEqual(source.modules.map(({ layer }) => layer))
      for (const [i, module] of converted.modules.entries()) {
        const [ours, theirs] = [await loraDelta(module), await loraDelta(source.modules[i]!)]
        expect(ours.shape).toEqual(theirs.shape)
        const error = Math.max(...ours.values.map((value, k) => Math.abs(value - theirs.values[k]!)))
        expect(error, module.layer.path).toBeLessThan(1e-7)
      }
      await converted.close()
      if (extension === 'pt') return
      expect(converted.metadata.get('ss_v2')).toBe('False')
      expect(converted.metadata.get('sshs_model_hash')).not.toBe('old')
      expect(converted.metadata.has('lora_adapter_metadata')).toBe(false)
    })
  }

  it("writes kohya's shapes, types and alphas", async () => {
    const path = join(folder, 'x.safetensors')
    await writeLora(path, (await open()).modules, { config: tinySd1, precision: 'bf16' })
    const { modules, metadata } = await readKohyaLora(path)
    const projection = modules.get('lora_unet_mid_block_attentions_0_proj_in')!
    const shapes = Object.fromEntries(Object.entries(projection.weights).map(([end, { shape }]) => [end, shape]))
    expect(projection.alpha).toBe(3)
    expect(shapes).toEqual({ 'lora_down.weight': [4, 64, 1, 1], 'lora_up.weight': [64, 4, 1, 1] })
    expect([...metadata.keys()].sort()).toEqual(['sshs_legacy_hash', 'sshs_model_hash'])
    const file = await openTensorFile(path)
    expect(new Set(file.names.map((name) => file.info(name).dtype))).toEqual(new Set(['BF16']))
    await file.close()
  })

  it('refuses a file name that tells no format', async () => {
    await expect(writeLora(join(folder, 'x'), [], { config: tinySd1 })).rejects.toThrow('no extension')
    await writeLora(join(folder, 'x'), (await open()).modules, { config: tinySd1, format: 'pt' })
    expect((await readLora(join(folder, 'x'), tinySd1)).style).toBe('kohya')
  })
})
