/** Converts whatever a file is: a model, a LoRA, a textual inversion. */
import { stat } from 'node:fs/promises'
import { extname } from 'node:path'
import { openTensorFile } from '../io/openTensorFile.ts'
import { sd1 } from '../models/stableDiffusion/config.ts'
import { convertLora, convertTextualInversion } from '../networks/convertLora.ts'
import type { LoraConfig, WritableLoraStyle } from '../networks/loraKeys/names.ts'
import { ArgumentError, CheckpointError } from '../util/errors.ts'
import { convertCheckpoint, type WriteTargetOptions } from './convertCheckpoint.ts'
import { detectCheckpoint } from './detect.ts'
import { inspectEmbedding } from './inspectNetworks.ts'
import { expectForm, expectFree, type SaveModelAs } from './writeModel.ts'

export interface ConvertFileOptions extends Omit<WriteTargetOptions, 'to'> {
  /** What to write a model as. Default: by the target's extension, `.safetensors`, `.ckpt`, or none for a diffusers folder. */
  readonly to?: SaveModelAs | undefined
  /** How the keys of a LoRA are spelled. Default: as in the source. */
  readonly loraStyle?: WritableLoraStyle | undefined
  /** Of the model that a LoRA is for. Default: 1.x or 2.x, as the file tells. */
  readonly loraConfig?: LoraConfig | undefined
}

export interface ConvertedFile {
  /** What it was and has become, in words. */
  readonly description: string
  readonly notes: readonly string[]
}

/** The form that a target's name asks for. @throws ArgumentError for an extension of none */
export function formOfTarget(op: string, target: string): SaveModelAs {
  const extension = extname(target).toLowerCase()
  if (extension === '.safetensors') return 'safetensors'
  if (extension === '.ckpt') return 'ckpt'
  if (extension === '' || /^\.\d/.test(extension)) return 'diffusers_safetensors'
  throw new ArgumentError(op, 'target', 'a .safetensors or .ckpt file or a folder, or give the form (to)', target)
}

/**
 * Converts a model, see {@link convertCheckpoint}, or a LoRA or textual inversion file, see {@link convertLora}, whichever the source is.
 *
 * @throws what those throw; ArgumentError for an option that the source has no use for
 */
export async function convertFile(
  source: string,
  target: string,
  options: ConvertFileOptions = {},
): Promise<ConvertedFile> {
  const { to, loraStyle, loraConfig, ...others } = options
  const { precision, overwrite = false } = others
  const small = await smallNetwork(source)
  if (loraStyle !== undefined && small?.kind !== 'lora')
    throw new ArgumentError('convertFile', 'loraStyle (--lora_style)', 'left out: the source is no LoRA', loraStyle)
  if (small === null) {
    const form = to ?? formOfTarget('convertFile', target)
    const { version, notes } = await convertCheckpoint(source, target, { ...others, to: form })
    return { description: `Stable Diffusion ${version}.x as ${form}`, notes }
  }
  if (to === 'diffusers' || to === 'diffusers_safetensors')
    throw new ArgumentError('convertFile', 'to (--save_model_as)', `safetensors or ckpt for ${small.description}`, to)
  const form = to ?? 'safetensors'
  expectForm('convertFile', form, precision)
  await expectFree(target, overwrite)
  const format = to === undefined ? undefined : to === 'ckpt' ? 'pt' : 'safetensors'
  if (small.kind === 'textualInversion') {
    await convertTextualInversion(source, target, small.width, { format, precision })
    return { description: small.description, notes: [] }
  }
  const { style, modules } = await convertLora(source, target, {
    format,
    precision,
    style: loraStyle,
    config: loraConfig,
  })
  return { description: `LoRA of ${modules} ${modules === 1 ? 'module' : 'modules'} in the style ${style}`, notes: [] }
}

/** What is no model: found in the index of a file on this machine; null for everything else. */
async function smallNetwork(path: string): Promise<{
  readonly kind: 'lora' | 'textualInversion'
  readonly description: string
  readonly width: number
} | null> {
  if (!(await stat(path).catch(() => null))?.isFile()) return null
  const file = await openTensorFile(path)
  try {
    const { kind, description, refusal } = detectCheckpoint(file)
    if (kind !== 'lora' && kind !== 'textualInversion') return null
    if (refusal !== null) throw new CheckpointError(path, `this ${description} is not converted: ${refusal}`)
    const width = kind === 'lora' ? sd1.textEncoder.hiddenSize : inspectEmbedding(file).width
    return { kind, description, width }
  } finally {
    await file.close()
  }
}
