/** Stable Diffusion in memory from and to folders in the layout of the diffusers library. */
import type { PredictionType } from '../models/stableDiffusion/config.ts'
import type { ModelPart, StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import type { SavePrecision } from '../networks/kohyaLora.ts'
import type { FloatDType } from '../tensor/dtype.ts'
import type { DeviceName } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { openDiffusersFolder } from './folderSource.ts'
import { type WriteFolderOptions, writeDiffusersFolder } from './folderWriter.ts'
import { precisionTypes } from './modelEntries.ts'
import { entriesOfModels } from './parameterFile.ts'
import { readModel } from './readPlan.ts'

export interface LoadOptions {
  /** Type each part is stored and computed in. Default float32. */
  readonly dtypes?: Readonly<Partial<Record<ModelPart, FloatDType>>>
  /** Where the parameters are read to. Default cpu. */
  readonly device?: DeviceName | undefined
  /** `'fp16'`: take `*.fp16.safetensors` where a part has it. Default: plain files, or the only variant there is. */
  readonly variant?: string | undefined
  /** What the U-Net predicts, for a folder without a scheduler. See {@link readDiffusersConfig}. */
  readonly predictionType?: PredictionType | undefined
}

/**
 * Loads Stable Diffusion from a diffusers folder, as {@link openDiffusersFolder} finds it.
 *
 * @throws what `openDiffusersFolder` throws, and IoError when a tensor cannot be read; nothing stays loaded then
 */
export async function loadDiffusersFolder(folder: string, options: LoadOptions = {}): Promise<StableDiffusion> {
  const { dtypes, device, ...found } = options
  const { config, parts, close } = await openDiffusersFolder(folder, found)
  try {
    return await readModel(config, parts, { dtypes, device })
  } finally {
    await close()
  }
}

export interface SaveFolderOptions extends WriteFolderOptions {
  /** Type of all weights in the files. Default: each part in the type it has in memory. */
  readonly precision?: SavePrecision | undefined
}

/**
 * Writes models as a complete diffusers folder, as {@link writeDiffusersFolder} does.
 *
 * @throws ArgumentError for an unknown format or precision; IoError when something cannot be written: nothing has changed then
 */
export async function saveDiffusersFolder(
  folder: string,
  models: StableDiffusion,
  options: SaveFolderOptions = {},
): Promise<void> {
  const { precision, ...others } = options
  if (precision !== undefined && !Object.hasOwn(precisionTypes, precision))
    throw new ArgumentError('saveDiffusersFolder', 'precision', "'float', 'fp16' or 'bf16'", String(precision))
  await writeDiffusersFolder(folder, entriesOfModels(models, precision), others)
}
