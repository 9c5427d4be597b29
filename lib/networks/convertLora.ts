/** LoRA and textual inversion files from one form to another. */
import { openTensorFile } from '../io/openTensorFile.ts'
import { sd1, sd2 } from '../models/stableDiffusion/config.ts'
import type { TensorFormat } from './format.ts'
import type { SavePrecision } from './kohyaLora.ts'
import { readLora } from './loraFile.ts'
import type { LoraConfig, LoraStyle, WritableLoraStyle } from './loraKeys/names.ts'
import { loraVersion } from './loraVersion.ts'
import { readTextualInversion, writeTextualInversion } from './textualInversion.ts'
import { writeLora } from './writeLora.ts'

export interface ConvertNetworkOptions {
  /** Container. Default: by the extension, `.safetensors`, `.ckpt`, `.pt` or `.bin`. */
  readonly format?: TensorFormat | undefined
  /** Type of all tensors. Default `float`. */
  readonly precision?: SavePrecision | undefined
}

export interface ConvertLoraOptions extends ConvertNetworkOptions {
  /** How keys are spelled. Default: as in the source, where that style can be written, else `kohya`. */
  readonly style?: WritableLoraStyle | undefined
  /** Of the model it is for. Default: Stable Diffusion 1.x or 2.x, as the file tells; 1.x where it does not. */
  readonly config?: LoraConfig | undefined
}

/** Styles that are not written, and what stands for them. */
const writable: Readonly<Record<LoraStyle, WritableLoraStyle>> = {
  kohya: 'kohya',
  kohyaLdm: 'kohya',
  diffusers: 'diffusers',
  diffusersOld: 'diffusers',
  comfyui: 'comfyui',
}

/**
 * Writes a LoRA file again: in another style of keys, container or type. One weight at a time is in memory.
 *
 * @returns the style it is written in, and how many modules it has
 * @throws what `readLora` and `writeLora` throw
 */
export async function convertLora(
  source: string,
  target: string,
  options: ConvertLoraOptions = {},
): Promise<{ readonly style: WritableLoraStyle; readonly modules: number }> {
  const file = await openTensorFile(source)
  try {
    const { format, precision, config = loraVersion(file) === 2 ? sd2 : sd1 } = options
    const lora = await readLora(file, config)
    const style = options.style ?? writable[lora.style]
    const settings = { ...(format === undefined ? {} : { format }), ...(precision === undefined ? {} : { precision }) }
    await writeLora(target, lora.modules, { config, style, metadata: lora.metadata, ...settings })
    return { style, modules: lora.modules.length }
  } finally {
    await file.close()
  }
}

/**
 * Writes a textual inversion again: in another container or type.
 *
 * @param width of the text encoder's features: 768 for 1.x, 1024 for 2.x
 * @throws what `readTextualInversion` and `writeTextualInversion` throw
 */
export async function convertTextualInversion(
  source: string,
  target: string,
  width: number,
  { format, precision }: ConvertNetworkOptions = {},
): Promise<void> {
  const found = await readTextualInversion(source, { hiddenSize: width })
  await writeTextualInversion(target, found.kind === 'layers' ? found.layers : found.rows, {
    metadata: Object.fromEntries(found.metadata),
    ...(format === undefined ? {} : { format }),
    ...(precision === undefined ? {} : { precision }),
  })
}
