/** What every style of LoRA file calls a layer. */
import type { StableDiffusionConfig } from '../../models/stableDiffusion/config.ts'
import { type LayerShape, layerShapes } from '../../models/stableDiffusion/layerShapes.ts'
import { ldmPath } from './ldmPath.ts'

/**
 * Who names layers this way.
 * - `kohya`: sd-scripts, `lora_unet_down_blocks_0_...`, `lora_te_...`
 * - `kohyaLdm`: the same prefix before the names of original checkpoints, `lora_unet_input_blocks_1_1_...`
 * - `diffusers`: PEFT, `unet.down_blocks.0.....lora_A.weight`
 * - `diffusersOld`: the attention processors before PEFT, `....attn1.processor.to_q_lora.down.weight`
 * - `comfyui`: the model's own paths, `diffusion_model.input_blocks.1.1....`
 */
export type LoraStyle = 'kohya' | 'kohyaLdm' | 'diffusers' | 'diffusersOld' | 'comfyui'

/** A name and the style it belongs to. */
interface StyledName {
  readonly style: LoraStyle
  readonly name: string
}

/** What a name in a file stands for. */
export interface NamedLayer extends StyledName {
  readonly layer: LayerShape
}

/** The parts of a model that names depend on. */
export type LoraConfig = Pick<StableDiffusionConfig, 'version' | 'textEncoder' | 'unet'>

function unetNames(path: string, layersPerBlock: number): StyledName[] {
  const ldm = ldmPath(path, layersPerBlock)
  const flat = path.replaceAll('.', '_')
  const flatLdm = ldm.replaceAll('.', '_')
  // Processors hold the attention's four projections; the last is a list of two in the model and a single layer there.
  const processor = path.replace(/(\.attn[12])\.to_(\w+)(\.0)?$/, '$1.processor.to_$2')
  const shortOut = path.replace(/\.to_out\.0$/, '.to_out')
  return [
    ...names('kohya', `lora_unet_${flat}`, `lora_unet.${path}`, `lycoris_${flat}`),
    ...names('kohyaLdm', `lora_unet_${flatLdm}`),
    ...names('diffusers', `unet.${path}`, `unet.${shortOut}`, path, shortOut),
    ...names('diffusersOld', `unet.${processor}`, processor),
    ...names('comfyui', `diffusion_model.${ldm}`, `diffusion_model.${path}`, `model.diffusion_model.${ldm}`),
  ]
}

function textEncoderNames(path: string, version: 1 | 2): StyledName[] {
  const flat = path.replaceAll('.', '_')
  const clip = version === 1 ? 'clip_l' : 'clip_h'
  const short = path.replace(/^text_model\./, '')
  const old = path.replace(/\.self_attn\.(\w+)_proj$/, '.self_attn.to_$1')
  return [
    ...names('kohya', `lora_te_${flat}`, `lora_te1_${flat}`, `lora_te.${path}`),
    ...names('diffusers', `text_encoder.${path}`, `text_encoder.${short}`, path, short),
    ...names('diffusersOld', `text_encoder.${old}`),
    ...names('comfyui', `text_encoders.${clip}.transformer.${path}`, `text_encoders.${clip}.${path}`),
    ...names('comfyui', `${clip}.transformer.${path}`, `${clip}.${path}`),
  ]
}

function names(style: LoraStyle, ...all: readonly string[]): StyledName[] {
  return [...new Set(all)].map((name) => ({ style, name }))
}

/** Every name that any style has for any layer of a model, in the order of the model's layers. A name has one meaning. */
export function layerNames(config: LoraConfig): Map<string, NamedLayer> {
  const found = new Map<string, NamedLayer>()
  for (const layer of layerShapes(config)) {
    const styled =
      layer.part === 'unet'
        ? unetNames(layer.path, config.unet.layersPerBlock)
        : textEncoderNames(layer.path, config.version)
    for (const entry of styled) if (!found.has(entry.name)) found.set(entry.name, { ...entry, layer })
  }
  return found
}

/** Styles that files are written in. */
export type WritableLoraStyle = 'kohya' | 'diffusers' | 'comfyui'

/** The name that a written file gives a layer, without the suffixes of its tensors. */
export function writtenName(layer: LayerShape, style: WritableLoraStyle, config: LoraConfig): string {
  const styled =
    layer.part === 'unet'
      ? unetNames(layer.path, config.unet.layersPerBlock)
      : textEncoderNames(layer.path, config.version)
  return styled.find((entry) => entry.style === style)!.name
}
