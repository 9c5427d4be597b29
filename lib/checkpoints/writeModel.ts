/** The forms that models are saved in, under the names of the option `save_model_as`. */
import { lstat } from 'node:fs/promises'
import { ArgumentError, IoError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { writeDiffusersFolder } from './folderWriter.ts'
import type { KeyedFile } from './keyedFile.ts'
import { writeLdmCheckpoint } from './ldmWriter.ts'
import { type ModelEntries, precisionTypes } from './modelEntries.ts'

/** A single file as safetensors or in PyTorch's container; a diffusers folder with `.bin` or `.safetensors` weights. */
export const saveModelForms = ['safetensors', 'ckpt', 'diffusers', 'diffusers_safetensors'] as const
export type SaveModelAs = (typeof saveModelForms)[number]

/** Refuses unknown names before anything is read. */
export function expectForm(op: string, to: string, precision: string | undefined): void {
  const forms: readonly string[] = saveModelForms
  if (!forms.includes(to))
    throw new ArgumentError(op, 'to', `one of ${forms.join(', ')}`, `"${to}".${didYouMean(to, forms)}`)
  const types = Object.keys(precisionTypes)
  if (precision !== undefined && !types.includes(precision))
    throw new ArgumentError(
      op,
      'precision',
      `one of ${types.join(', ')}`,
      `"${precision}".${didYouMean(precision, types)}`,
    )
}

/** @throws IoError when something has that name and may not be replaced */
export async function expectFree(path: string, overwrite: boolean): Promise<void> {
  if (overwrite || (await lstat(path).catch(() => null)) === null) return
  throw new IoError(path, 'there is something of that name; choose another, or allow to replace it (--overwrite)')
}

/** @param single the single file that the model came from: a single file made of it keeps its other tensors */
export async function writeModel(
  target: string,
  to: SaveModelAs,
  entries: ModelEntries,
  single: KeyedFile | null,
): Promise<void> {
  if (to === 'safetensors' || to === 'ckpt') await writeLdmCheckpoint(target, entries, { source: single, format: to })
  else await writeDiffusersFolder(target, entries, { format: to === 'diffusers' ? 'bin' : 'safetensors' })
}
