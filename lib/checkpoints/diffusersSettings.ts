/** What the configuration files of a diffusers folder may say, as data. */
import type { FixedSettings } from './configReader.ts'

const fixed = (...allowed: readonly unknown[]): { readonly allowed: readonly unknown[] } => ({ allowed })

/** unet/config.json: the values that the U-Net here computes. A missing key has this value in the library's defaults too. */
export const unetSettings: FixedSettings = {
  _class_name: fixed('UNet2DConditionModel'),
  act_fn: fixed('silu', 'swish'),
  addition_embed_type: { allowed: [null], meaning: '"text_time" is Stable Diffusion XL' },
  attention_type: fixed('default'),
  center_input_sample: fixed(false),
  class_embed_type: fixed(null),
  class_embeddings_concat: fixed(false),
  conv_in_kernel: fixed(3),
  conv_out_kernel: fixed(3),
  cross_attention_norm: fixed(null),
  downsample_padding: fixed(1),
  dropout: fixed(0),
  dual_cross_attention: fixed(false),
  encoder_hid_dim: fixed(null),
  encoder_hid_dim_type: fixed(null),
  flip_sin_to_cos: fixed(true),
  freq_shift: fixed(0),
  mid_block_only_cross_attention: fixed(null, false),
  mid_block_scale_factor: fixed(1),
  mid_block_type: fixed('UNetMidBlock2DCrossAttn'),
  norm_eps: fixed(1e-5),
  num_attention_heads: fixed(null),
  num_class_embeds: { allowed: [null], meaning: 'upscalers have it' },
  only_cross_attention: fixed(false),
  resnet_out_scale_factor: fixed(1),
  resnet_skip_time_act: fixed(false),
  resnet_time_scale_shift: fixed('default'),
  reverse_transformer_layers_per_block: fixed(null),
  time_cond_proj_dim: { allowed: [null], meaning: 'latent consistency models have it' },
  time_embedding_act_fn: fixed(null),
  time_embedding_dim: fixed(null),
  time_embedding_type: fixed('positional'),
  timestep_post_act: fixed(null),
  transformer_layers_per_block: { allowed: [1], meaning: 'Stable Diffusion XL has more' },
}

/** The other keys of unet/config.json: sizes, and what changes no result. */
export const unetKeys: readonly string[] = [
  'addition_embed_type_num_heads',
  'addition_time_embed_dim',
  'attention_head_dim',
  'block_out_channels',
  'cross_attention_dim',
  'down_block_types',
  'in_channels',
  'layers_per_block',
  'norm_num_groups',
  'out_channels',
  'projection_class_embeddings_input_dim',
  'sample_size',
  'up_block_types',
  // Always so: attention keeps its scores in float32 (models/stableDiffusion/transformerBlock.ts).
  'upcast_attention',
  'use_linear_projection',
]

export const vaeSettings: FixedSettings = {
  _class_name: fixed('AutoencoderKL'),
  act_fn: fixed('silu', 'swish'),
  in_channels: fixed(3),
  latents_mean: fixed(null),
  latents_std: fixed(null),
  mid_block_add_attention: fixed(true),
  out_channels: fixed(3),
  shift_factor: fixed(null, 0),
  use_post_quant_conv: fixed(true),
  use_quant_conv: fixed(true),
}

export const textSettings: FixedSettings = {
  attention_dropout: fixed(0),
  dropout: fixed(0),
  layer_norm_eps: fixed(1e-5),
  // Captions are cut into rows of 77 tokens.
  max_position_embeddings: fixed(77),
  model_type: fixed('clip_text_model'),
}

/** What a number of input channels other than the latents' says about a model. */
export const inputChannelMeanings: Readonly<Record<number, string>> = {
  5: 'this is a depth-to-image model',
  7: 'this is an upscaler',
  8: 'this is an editing model (InstructPix2Pix)',
  9: 'this is an inpainting model',
}

/** Pipelines whose U-Net, text encoder and VAE are those of Stable Diffusion 1.x and 2.x. */
export const pipelineClasses: readonly string[] = [
  'StableDiffusionPipeline',
  'StableDiffusionImg2ImgPipeline',
  'StableDiffusionInpaintPipelineLegacy',
  'StableDiffusionPipelineSafe',
]

/** Families by what the names of their pipelines start with; the first that fits counts. */
export const pipelineFamilies: readonly (readonly [prefix: string, family: string])[] = [
  ['StableDiffusionXL', 'Stable Diffusion XL'],
  ['StableDiffusion3', 'Stable Diffusion 3'],
  ['StableDiffusionInpaint', 'Stable Diffusion for inpainting'],
  ['StableDiffusionDepth2Img', 'Stable Diffusion for depth-to-image'],
  ['StableDiffusionUpscale', 'a Stable Diffusion upscaler'],
  ['StableDiffusionLatentUpscale', 'a latent upscaler'],
  ['StableDiffusionInstructPix2Pix', 'InstructPix2Pix'],
  ['StableUnCLIP', 'Stable unCLIP'],
  ['StableCascade', 'Stable Cascade'],
  ['StableVideoDiffusion', 'Stable Video Diffusion'],
  ['LatentConsistencyModel', 'a latent consistency model'],
  ['AltDiffusion', 'AltDiffusion'],
  ['Flux', 'FLUX'],
  ['PixArt', 'PixArt'],
  ['Kandinsky', 'Kandinsky'],
  ['Wuerstchen', 'Wuerstchen'],
  ['IF', 'DeepFloyd IF'],
  ['HunyuanDiT', 'Hunyuan-DiT'],
  ['Sana', 'Sana'],
  ['QwenImage', 'Qwen-Image'],
  ['Chroma', 'Chroma'],
]

/** Folders of components that Stable Diffusion 1.x and 2.x have not, and whose they are. */
export const foreignFolders: Readonly<Record<string, string>> = {
  text_encoder_2: 'Stable Diffusion XL or 3',
  text_encoder_3: 'Stable Diffusion 3',
  transformer: 'a diffusion transformer (Stable Diffusion 3, FLUX, PixArt)',
  prior: 'a model with a prior (Kandinsky, Stable Cascade)',
}
