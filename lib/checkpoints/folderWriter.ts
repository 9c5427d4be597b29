/** Models to folders in the layout of the diffusers library. */
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { atomicFolder } from '../io/atomicFolder.ts'
import { atomicWrite } from '../io/atomicWrite.ts'
import { writeSafetensors } from '../io/safetensors.ts'
import { writeTorchFile } from '../io/torchFileWriter.ts'
import { ArgumentError } from '../util/errors.ts'
import { diffusersConfigFiles } from './diffusersConfigText.ts'
import type { ModelEntries } from './modelEntries.ts'
import { modelParts } from './modelSource.ts'
import { partFolders, type WeightFormat } from './partWeights.ts'
import { makeTokenizerFiles, readTokenizerFiles } from './tokenizerFiles.ts'

export interface WriteFolderOptions {
  /** Default `'safetensors'`. */
  readonly format?: WeightFormat | undefined
  /** Replaces the scheduler's configuration. Default: the source folder's, or DDIM with the schedule of training. */
  readonly schedulerConfig?: Readonly<Record<string, unknown>> | undefined
  /** A folder whose tokenizer files are copied. Default: the source folder's, or CLIP's made from the shipped vocabulary. */
  readonly tokenizerFolder?: string | undefined
}

const configDTypes: Readonly<Record<string, 'float16' | 'bfloat16'>> = { F16: 'float16', BF16: 'bfloat16' }

/**
 * Writes a complete diffusers folder: weights, configurations, scheduler, tokenizer. What the model's source
 * folder had beside the weights is kept (`config.origin`). One tensor is in memory at a time.
 *
 * The folder appears whole or not at all, see {@link atomicFolder}: a previous model of that name is replaced, with all its
 * weight files; a folder that is neither empty nor a model is refused.
 *
 * @throws ArgumentError for an unknown format; IoError when something cannot be written: nothing has changed then
 */
export async function writeDiffusersFolder(
  folder: string,
  { config, parts }: ModelEntries,
  options: WriteFolderOptions = {},
): Promise<void> {
  const { format = 'safetensors', schedulerConfig, tokenizerFolder } = options
  if (format !== 'safetensors' && format !== 'bin')
    throw new ArgumentError('saveDiffusersFolder', 'format', "'safetensors' or 'bin'", String(format))
  const kept = tokenizerFolder === undefined ? config.origin?.tokenizer : await readTokenizerFiles(tokenizerFolder)
  if (tokenizerFolder !== undefined && kept!.size === 0)
    throw new ArgumentError('saveDiffusersFolder', 'tokenizerFolder', 'a folder with tokenizer files', tokenizerFolder)
  const tokenizer = kept !== undefined && kept.size > 0 ? kept : await makeTokenizerFiles(config.version)
  const textDType = configDTypes[parts.textEncoder[0]!.dtype] ?? 'float32'
  const texts = diffusersConfigFiles(config, { textDType, schedulerConfig })
  await atomicFolder(
    folder,
    async (temporary) => {
      for (const part of modelParts) {
        const names = partFolders[part]
        const path = join(temporary, names.folder, `${names[format]}.${format}`)
        await mkdir(dirname(path), { recursive: true })
        if (format === 'bin') await writeTorchFile(path, parts[part])
        else await writeSafetensors(path, parts[part], { metadata: { format: 'pt' } })
      }
      for (const [name, text] of Object.entries(texts)) await writeFile(join(temporary, name), text)
      for (const [name, bytes] of tokenizer) await writeFile(join(temporary, 'tokenizer', name), bytes)
    },
    { marker: 'model_index.json' },
  )
}

async function writeFile(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await atomicWrite(path, content)
}
