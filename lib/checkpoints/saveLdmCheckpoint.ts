/** Stable Diffusion in memory to one file in the layout of the original latent-diffusion code. */
import { openTensorFile } from '../io/openTensorFile.ts'
import type { StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import type { SavePrecision } from '../networks/kohyaLora.ts'
import { ArgumentError } from '../util/errors.ts'
import { KeyedFile } from './keyedFile.ts'
import { type WriteLdmOptions, writeLdmCheckpoint } from './ldmWriter.ts'
import { modelParts } from './modelSource.ts'
import { entriesOfModels } from './parameterFile.ts'

export interface SaveLdmOptions extends Omit<WriteLdmOptions, 'source'> {
  /** The checkpoint that the models came from: everything in it but their weights is kept. Default: a fresh file. */
  readonly source?: string | undefined
  /** Type the written parts are cast to. Default: the type that they have in memory. */
  readonly precision?: SavePrecision | undefined
}

/**
 * Writes a model as one file, as {@link writeLdmCheckpoint} does.
 *
 * @returns the size of the file in bytes
 * @throws CheckpointError when the source is another model
 * @throws IoError when a file cannot be read or written; a previous file of that name stays
 */
export async function saveLdmCheckpoint(
  path: string,
  models: StableDiffusion,
  options: SaveLdmOptions = {},
): Promise<number> {
  const { source, precision, ...others } = options
  const { parts = modelParts } = others
  if (source === undefined && modelParts.some((part) => !parts.includes(part)))
    throw new ArgumentError('saveLdmCheckpoint', 'parts', 'all of them without a source', parts.join(', '))
  const file = source === undefined ? null : await openTensorFile(source)
  try {
    const keyed = file === null ? null : new KeyedFile(file)
    return await writeLdmCheckpoint(path, entriesOfModels(models, precision), { ...others, source: keyed })
  } finally {
    await file?.close()
  }
}
