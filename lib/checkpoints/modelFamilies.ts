/** Models and files that are not Stable Diffusion 1.x or 2.x, by keys that only they have. */
import type { TensorFile } from '../io/tensorFile.ts'

/** What of a file is looked at: its index, never its data. */
export type TensorIndex = Pick<TensorFile, 'path' | 'names' | 'has' | 'info' | 'metadata'> & {
  /** What a PyTorch file holds beside its tensors. */
  readonly outer?: ReadonlyMap<string, unknown>
}

interface Family {
  readonly name: string
  /** Any of these, whole keys or beginnings of keys (ending in a dot); a `?` prefix may have `model.diffusion_model.` before it. */
  readonly keys: readonly string[]
}

/** Ordered: a model that contains another's keys comes first. */
const families: readonly Family[] = [
  { name: 'SDXL base', keys: ['conditioner.embedders.1.'] },
  { name: 'SDXL refiner', keys: ['conditioner.embedders.0.model.'] },
  { name: 'Stable Video Diffusion', keys: ['conditioner.embedders.0.open_clip.', '?input_blocks.1.0.time_stack.'] },
  { name: 'SDXL (single text encoder)', keys: ['conditioner.embedders.0.'] },
  { name: 'ControlNet', keys: ['control_model.', 'controlnet_cond_embedding.', 'input_hint_block.', 'zero_convs.'] },
  { name: 'ControlNet', keys: ['controlnet_down_blocks.', 'controlnet_blocks.'] },
  { name: 'T2I-Adapter', keys: ['adapter.body.', 'body.0.resnets.', 'body.0.block1.'] },
  { name: 'IP-Adapter', keys: ['ip_adapter.', 'image_proj.'] },
  { name: 'AnimateDiff motion module', keys: ['down_blocks.0.motion_modules.', 'mid_block.motion_modules.'] },
  { name: 'Stable Diffusion 3', keys: ['?joint_blocks.'] },
  { name: 'Chroma', keys: ['?distilled_guidance_layer.'] },
  { name: 'Hunyuan Video', keys: ['?txt_in.individual_token_refiner.'] },
  { name: 'Flux.2', keys: ['?single_stream_modulation.', '?double_stream_modulation_img.'] },
  { name: 'Flux', keys: ['?double_blocks.', 'single_transformer_blocks.'] },
  { name: 'HiDream', keys: ['?double_stream_blocks.'] },
  { name: 'AuraFlow', keys: ['?double_layers.'] },
  { name: 'Stable Cascade (stage C)', keys: ['?clip_txt_mapper.'] },
  { name: 'Stable Cascade (stage B)', keys: ['?effnet_mapper.', 'down_blocks.1.0.channelwise.0.weight'] },
  {
    name: 'Wuerstchen',
    keys: ['?cond_mapper.', 'down_blocks.0.0.channelwise.0.weight', '?blocks.0.channelwise.0.weight'],
  },
  { name: 'Hunyuan-DiT', keys: ['?mlp_t5.', '?text_embedding_padding', 'text_embedder.linear_1.weight'] },
  { name: 'LTX-Video', keys: ['?patchify_proj.'] },
  { name: 'Sana', keys: ['?blocks.0.cross_attn.q_linear.weight', 'caption_norm.weight'] },
  { name: 'PixArt', keys: ['?y_embedder.y_proj.', 'adaln_single.', '?t_block.1.weight', 'caption_projection.'] },
  { name: 'DiT', keys: ['?y_embedder.embedding_table.weight', '?blocks.0.adaLN_modulation.1.weight'] },
  { name: 'Lumina', keys: ['?cap_embedder.0.weight'] },
  { name: 'Wan', keys: ['?head.modulation'] },
  { name: 'Qwen-Image', keys: ['?txt_norm.weight'] },
  { name: 'Mochi', keys: ['?blocks.0.attn.qkv_x.weight'] },
  { name: 'Cosmos', keys: ['net.x_embedder.', 'net.blocks.'] },
  { name: 'a Stable unCLIP model', keys: ['embedder.model.visual.', 'noise_augmentor.'] },
  {
    name: 'a model conditioned on sizes or classes (as SDXL is)',
    keys: ['?label_emb.', 'add_embedding.', 'class_embedding.'],
  },
]

const diffusionPrefix = 'model.diffusion_model.'

/** The name of the family a file belongs to, and the key that tells; undefined when it is none of those known here. */
export function foreignFamily(index: TensorIndex): { readonly name: string; readonly key: string } | undefined {
  const names = index.names
  for (const { name, keys } of families) {
    for (const pattern of keys) {
      const key = pattern.startsWith('?')
        ? (find(names, pattern.slice(1)) ?? find(names, diffusionPrefix + pattern.slice(1)))
        : find(names, pattern)
      if (key !== undefined) return { name, key }
    }
  }
  return undefined
}

function find(names: readonly string[], pattern: string): string | undefined {
  return names.find(pattern.endsWith('.') ? (name) => name.startsWith(pattern) : (name) => name === pattern)
}

/** What U-Nets of 1.x and 2.x with another number of input channels are for. */
const inputChannels: Readonly<Record<number, string>> = {
  5: 'a depth-to-image model (4 channels of latents and 1 of depth)',
  7: 'a 4x upscaler (4 channels of noise and 3 of the small picture)',
  8: 'an InstructPix2Pix model (4 channels of latents and 4 of the picture to edit)',
  9: 'an inpainting model (4 channels of latents, 4 of the masked picture and 1 of the mask)',
}

/** What a U-Net with this many input channels is; undefined for the 4 of text-to-image. */
export function unetVariant(channels: number): string | undefined {
  return channels === 4 ? undefined : (inputChannels[channels] ?? `a model with ${channels} input channels`)
}
