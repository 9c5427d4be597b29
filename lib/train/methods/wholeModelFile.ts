/** Files of trained models: what was trained from memory, everything else from where the model came from. */
import { extname } from 'node:path'
import { writeDiffusersFolder } from '../../checkpoints/folderWriter.ts'
import { writeLdmCheckpoint } from '../../checkpoints/ldmWriter.ts'
import { entriesOfSource, type ModelEntries } from '../../checkpoints/modelEntries.ts'
import { type ModelSource, modelParts, openModel } from '../../checkpoints/modelSource.ts'
import { entriesOfModels } from '../../checkpoints/parameterFile.ts'
import type { SaveModelAs } from '../../checkpoints/writeModel.ts'
import { entryBytes } from '../../io/safetensorsHeader.ts'
import type { ModelPart, StableDiffusion } from '../../models/stableDiffusion/stableDiffusion.ts'
import type { SaveFacts } from '../../networks/metadata.ts'
import { ConfigError } from '../../util/errors.ts'
import { modelSpec } from '../facts/modelSpec.ts'
import type { TrainConfig } from '../trainConfig.ts'

export type WholeModelForm = SaveModelAs

/** The extension of its files; folders have none. */
export function formExtension(form: WholeModelForm): string {
  return form === 'safetensors' || form === 'ckpt' ? `.${form}` : ''
}

/** What the configuration asks for, or else the form that the model came in. */
export async function wholeModelForm(config: TrainConfig): Promise<WholeModelForm> {
  const { saveAs = null } = config.output
  if (saveAs === 'pt')
    throw new ConfigError('whole models are saved as safetensors, ckpt, diffusers or diffusers_safetensors, not as pt')
  if (saveAs !== null) return saveAs
  const source = await openSource(config)
  try {
    if (source.single !== null) return extname(source.single.path) === '.safetensors' ? 'safetensors' : 'ckpt'
    return extname(source.parts.unet.file.path) === '.safetensors' ? 'diffusers_safetensors' : 'diffusers'
  } finally {
    await source.close()
  }
}

function openSource({ model }: TrainConfig): Promise<ModelSource> {
  return openModel(model.path, {
    v2: model.v2 || undefined,
    vParameterization: model.vParameterization || undefined,
    vae: model.vae ?? undefined,
  })
}

export interface WholeModelFile {
  readonly config: TrainConfig
  readonly models: StableDiffusion
  /** Parts that are taken from memory. */
  readonly trained: readonly ModelPart[]
  readonly form: WholeModelForm
  readonly facts: SaveFacts
}

/**
 * Writes a trained model, whole or not at all. Parts that were not trained have the source's own bits, whatever type they were
 * computed in.
 * @returns the bytes of its weights
 * @throws IoError or CheckpointError when the source cannot be read any more or the target not be written
 */
export async function writeWholeModel(path: string, file: WholeModelFile): Promise<number> {
  const { config, models, trained, form, facts } = file
  const precision = config.output.savePrecision ?? undefined
  const source = await openSource(config)
  try {
    const [kept, made] = [entriesOfSource(source, { precision }), entriesOfModels(models, precision)]
    const of = (part: ModelPart) => (trained.includes(part) ? made : kept).parts[part]
    const entries: ModelEntries = {
      config: source.config,
      parts: { unet: of('unet'), textEncoder: of('textEncoder'), vae: of('vae') },
    }
    if (form === 'diffusers' || form === 'diffusers_safetensors')
      await writeDiffusersFolder(path, entries, { format: form === 'diffusers' ? 'bin' : 'safetensors' })
    else {
      const metadata =
        form === 'ckpt' ? undefined : modelSpec(models.config, config, { what: 'model', savedAt: facts.finishedAt })
      const { epoch, steps: globalStep } = facts
      const options = { source: source.single, format: form, metadata, epoch, globalStep }
      return await writeLdmCheckpoint(path, entries, options)
    }
    return modelParts.flatMap((part) => entries.parts[part]).reduce((sum, entry) => sum + entryBytes(entry), 0)
  } finally {
    await source.close()
  }
}
