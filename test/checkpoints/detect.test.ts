import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { detectCheckpoint } from '../../lib/checkpoints/detect.ts'
import { ldmKeys } from '../../lib/checkpoints/keys/ldmKeys.ts'
import { ldmShape } from '../../lib/checkpoints/ldmShape.ts'
import type { TensorIndex } from '../../lib/checkpoints/modelFamilies.ts'
import { parameterRequests } from '../../lib/checkpoints/parameterList.ts'
import { openTensorFile } from '../../lib/io/openTensorFile.ts'
import type { FileDType } from '../../lib/io/tensorBytes.ts'
import { writeTorchFile } from '../../lib/io/torchFileWriter.ts'
import { sd2 } from '../../lib/models/stableDiffusion/config.ts'
import { zerosOf } from '../support/checkpoints.ts'
import { makeFolder } from '../support/pictures.ts'

type Entry = readonly [name: string, shape?: readonly number[], dtype?: FileDType]

/** An index without a file. */
function indexOf(entries: readonly Entry[], metadata: Readonly<Record<string, string>> = {}): TensorIndex {
  const tensors = new Map(
    entries.map(([name, shape = [2, 2], dtype = 'F16']) => [name, { name, shape, dtype, byteLength: 8 }]),
  )
  return {
    path: 'file',
    metadata: new Map(Object.entries(metadata)),
    names: [...tensors.keys()],
    has: (name) => tensors.has(name),
    info: (name) => tensors.get(name)!,
  }
}

const found = (...entries: Entry[]) => detectCheckpoint(indexOf(entries))

describe('detectCheckpoint', () => {
  it('tells a full-size 2.x checkpoint from its index, with the types of each part', () => {
    const types = { unet: 'F16', textEncoder: 'F32', vae: 'BF16' } as const
    const entries = (['unet', 'textEncoder', 'vae'] as const).flatMap((part) =>
      parameterRequests(part, sd2).map((request): Entry => {
        const slot = ldmKeys(part, sd2).toLdm(request.name)!
        return [slot.key, ldmShape(request, slot), types[part]]
      }),
    )
    const ema: Entry = ['model_ema.decay', [], 'F32']
    const report = detectCheckpoint(indexOf([...entries, ema, ['betas', [1000], 'F64']]))
    expect(report).toMatchObject({ kind: 'stableDiffusion', version: 2, ema: true, refusal: null, prediction: null })
    expect(report.parts.unet).toMatchObject({ tensorCount: 686, parameterCount: 865_910_724, dtypes: ['F16'] })
    expect(report.parts.textEncoder).toMatchObject({ tensorCount: 280, parameterCount: 340_387_840, dtypes: ['F32'] })
    expect(report.parts.vae).toMatchObject({ tensorCount: 248, dtypes: ['BF16'] })
    expect(report.all.dtypes).toEqual(['F16', 'F32', 'BF16', 'F64'])
  })

  it('tells the version of a U-Net alone by the width of what it attends to', () => {
    const key = 'model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight'
    expect(found([key, [320, 768]]).version).toBe(1)
    expect(found([key, [320, 1024]]).version).toBe(2)
    expect(found([key, [320, 48]])).toMatchObject({ version: null, parts: { textEncoder: null, vae: null } })
  })

  // Keys by which diffusers tells these families apart.
  it.each([
    ['conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias', 'SDXL base'],
    ['conditioner.embedders.0.model.transformer.resblocks.9.mlp.c_proj.bias', 'SDXL refiner'],
    ['conditioner.embedders.0.open_clip.model.positional_embedding', 'Stable Video Diffusion'],
    ['control_model.time_embed.0.weight', 'ControlNet'],
    ['controlnet_cond_embedding.conv_in.weight', 'ControlNet'],
    ['joint_blocks.0.context_block.adaLN_modulation.1.bias', 'Stable Diffusion 3'],
    ['model.diffusion_model.joint_blocks.37.x_block.mlp.fc1.weight', 'Stable Diffusion 3'],
    ['double_blocks.0.img_attn.norm.key_norm.scale', 'Flux'],
    ['model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale', 'Flux'],
    ['model.diffusion_model.single_stream_modulation.lin.weight', 'Flux.2'],
    ['distilled_guidance_layer.in_proj.bias', 'Chroma'],
    ['txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias', 'Hunyuan Video'],
    ['mlp_t5.0.weight', 'Hunyuan-DiT'],
    ['clip_txt_mapper.weight', 'Stable Cascade (stage C)'],
    ['effnet_mapper.0.weight', 'Stable Cascade (stage B)'],
    ['cond_mapper.0.weight', 'Wuerstchen'],
    ['double_layers.0.attn.w1q.weight', 'AuraFlow'],
    ['y_embedder.y_proj.fc1.weight', 'PixArt'],
    ['adaln_single.linear.weight', 'PixArt'],
    ['y_embedder.embedding_table.weight', 'DiT'],
    ['patchify_proj.weight', 'LTX-Video'],
    ['blocks.0.cross_attn.q_linear.weight', 'Sana'],
    ['model.diffusion_model.cap_embedder.0.weight', 'Lumina'],
    ['head.modulation', 'Wan'],
    ['blocks.0.attn.qkv_x.weight', 'Mochi'],
    ['double_stream_blocks.0.block.adaLN_modulation.1.bias', 'HiDream'],
    ['net.x_embedder.proj.1.weight', 'Cosmos'],
    ['mid_block.motion_modules.0.temporal_transformer.norm.bias', 'AnimateDiff motion module'],
  ])('names the family of %s: %s', (key, family) => {
    const report = found([key], ['another.key'])
    expect(report).toMatchObject({ kind: 'foreign', description: family })
    expect(report.refusal).toContain(`it is ${family} (it has "${key}")`)
  })

  it('refuses a U-Net that is conditioned on more, as the one of SDXL is', () => {
    const report = found(
      ['model.diffusion_model.input_blocks.0.0.weight'],
      ['model.diffusion_model.label_emb.0.0.weight'],
    )
    expect(report.refusal).toContain('model.diffusion_model.label_emb.0.0.weight')
    expect(found(['add_embedding.linear_1.weight'], ['conv_in.weight']).kind).toBe('foreign')
  })

  it('names U-Nets with other input channels', () => {
    const unet = (channels: number) => found(['model.diffusion_model.input_blocks.0.0.weight', [320, channels, 3, 3]])
    expect(unet(4).refusal).toBeNull()
    expect(unet(9).description).toContain('an inpainting model')
    expect(unet(7).refusal).toContain('a 4x upscaler')
    expect(unet(13).refusal).toContain('a model with 13 input channels')
    expect(found(['conv_in.weight', [320, 9, 3, 3]], ['down_blocks.0.resnets.0.norm1.weight'])).toMatchObject({
      kind: 'diffusersUNet',
      refusal: expect.stringContaining('inpainting'),
    })
  })

  it.each([
    ['lora_unet_mid_block_attentions_0_proj_in.lora_down.weight', 'lora'],
    ['unet.mid_block.attentions.0.proj_in.lora_A.weight', 'lora'],
    ['base_model.model.down_blocks.0.to_q.lora_B.default.weight', 'lora'],
    ['unet.down_blocks.0.attentions.0.processor.to_q.lora.down.weight', 'lora'],
    ['lora_unet_x.hada_w1_a', 'lora'],
    ['encoder.down_blocks.0.resnets.0.conv1.weight', 'diffusersVae'],
    ['first_stage_model.encoder.down.0.block.0.conv1.weight', 'ldmVae'],
    ['decoder.up.0.block.0.conv1.weight', 'ldmVae'],
    ['text_model.encoder.layers.0.mlp.fc1.weight', 'textEncoder'],
    ['emb_params', 'textualInversion'],
    ['something.else', 'unknown'],
  ] as const)('tells the kind of a file with %s: %s', (key, kind) => {
    expect(found([key], ['another.key']).kind).toBe(kind)
  })

  it('tells textual inversions and the version they are for', async () => {
    expect(found(['<frog>', [768]])).toMatchObject({ kind: 'textualInversion', version: 1 })
    expect(found(['emb_params', [4, 1024]])).toMatchObject({ kind: 'textualInversion', version: 2 })
    expect(found(['clip_g', [1, 1280]], ['clip_l', [1, 768]]).refusal).toBe('its vectors are for SDXL')
    expect(found(['weight', [640, 320]]).kind).toBe('unknown')
    const path = join(await makeFolder(), 'frog.pt')
    await writeTorchFile(path, [zerosOf('*', [2, 768])], { under: 'string_to_param', outer: { name: 'frog' } })
    const file = await openTensorFile(path)
    expect(detectCheckpoint(file)).toMatchObject({ kind: 'textualInversion', version: 1 })
    await file.close()
  })

  it('repeats what the file states about its prediction', () => {
    const metadata = { 'modelspec.prediction_type': 'v' }
    const report = detectCheckpoint(
      indexOf([['model.diffusion_model.input_blocks.0.0.weight', [320, 4, 3, 3]]], metadata),
    )
    expect(report.prediction).toEqual({
      value: 'v_prediction',
      source: 'metadata "modelspec.prediction_type" = "v"',
    })
  })
})
