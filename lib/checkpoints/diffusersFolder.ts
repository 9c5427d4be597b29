import { mkdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { atomicWrite } from '../io/atomicWrite.ts'
import { openSafetensors, type SafetensorsFile, writeSafetensors } from '../io/safetensors.ts'
import { type ModelPart, StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import { tensor } from '../tensor/create.ts'
import type { FloatDType } from '../tensor/dtype.ts'
import { CheckpointError } from '../util/errors.ts'
import { diffusersConfigFiles, readDiffusersConfig } from './diffusersConfig.ts'
import { fileEntry, weightsFromFile } from './parameterFile.ts'

const weightFiles: Readonly<Record<ModelPart, string>> = {
  unet: 'unet/diffusion_pytorch_model.safetensors',
  textEncoder: 'text_encoder/model.safetensors',
  vae: 'vae/diffusion_pytorch_model.safetensors',
}

/** Older libraries named the attention of the VAE differently. */
const oldVaeNames: readonly (readonly [string, string])[] = [
  ['.to_q.', '.query.'],
  ['.to_k.', '.key.'],
  ['.to_v.', '.value.'],
  ['.to_out.0.', '.proj_attn.'],
]

function vaeAliases(name: string): string[] {
  return oldVaeNames.filter(([current]) => name.includes(current)).map(([current, old]) => name.replace(current, old))
}

export interface LoadOptions {
  /** Type each part is stored and computed in. Default float32. */
  readonly dtypes?: Readonly<Partial<Record<ModelPart, FloatDType>>>
}

/**
 * Loads Stable Diffusion from a diffusers folder with `.safetensors` weights: `unet/`, `text_encoder/`, `vae/`, `scheduler/`.
 * @throws IoError for a missing file; CheckpointError for a damaged one, a missing tensor or one of another shape
 */
export async function loadDiffusersFolder(folder: string, { dtypes = {} }: LoadOptions = {}): Promise<StableDiffusion> {
  const found = await stat(folder).catch(() => null)
  if (!found?.isDirectory())
    throw new CheckpointError(
      folder,
      found
        ? 'is a file; expected a folder in the diffusers layout (unet/, text_encoder/, vae/, scheduler/). Checkpoint files come with a later version'
        : 'no such folder; expected a model in the diffusers layout (unet/, text_encoder/, vae/, scheduler/)',
    )
  const config = await readDiffusersConfig(folder)
  const files = new Map<ModelPart, SafetensorsFile>()
  try {
    for (const [part, name] of Object.entries(weightFiles) as [ModelPart, string][])
      files.set(part, await openSafetensors(join(folder, name)))
    const source = (part: ModelPart) => weightsFromFile(files.get(part)!, part === 'vae' ? vaeAliases : undefined)
    const models = new StableDiffusion(config, source, dtypes)
    // Failures of the reads show at the next wait; make them show here.
    const fence = tensor([0], [1])
    await fence.read()
    fence.dispose()
    return models
  } finally {
    for (const file of files.values()) await file.close()
  }
}

/**
 * Writes models as a diffusers folder: float32 `.safetensors` weights and the configuration files. Each file is written atomically.
 * @throws IoError when a file cannot be written
 */
export async function saveDiffusersFolder(folder: string, models: StableDiffusion): Promise<void> {
  for (const [part, name] of Object.entries(weightFiles) as [ModelPart, string][]) {
    const path = join(folder, name)
    await mkdir(dirname(path), { recursive: true })
    const entries = [...models[part].registry.parameters.values()].map(fileEntry)
    await writeSafetensors(path, entries, { metadata: { format: 'pt' } })
  }
  for (const [name, text] of Object.entries(diffusersConfigFiles(models.config))) {
    const path = join(folder, name)
    await mkdir(dirname(path), { recursive: true })
    await atomicWrite(path, text)
  }
}
