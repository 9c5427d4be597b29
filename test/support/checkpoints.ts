/** Tiny models in single files, and files made of changed tensors of others. */
import { join } from 'node:path'
import type { UnseenSizes } from '../../lib/checkpoints/ldmConfig.ts'
import { type SaveLdmOptions, saveLdmCheckpoint } from '../../lib/checkpoints/saveLdmCheckpoint.ts'
import { openTensorFile } from '../../lib/io/openTensorFile.ts'
import { type SafetensorsTensor, writeSafetensors } from '../../lib/io/safetensors.ts'
import { type StableDiffusionConfig, tinySd1, tinySd2 } from '../../lib/models/stableDiffusion/config.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import type { Registry } from '../../lib/nn/weights.ts'
import { makeFolder } from './pictures.ts'

/** The tiny models with few words, which make most of their bytes. */
export const fewWords1: StableDiffusionConfig = { ...tinySd1, textEncoder: { ...tinySd1.textEncoder, vocabSize: 100 } }
export const fewWords2: StableDiffusionConfig = { ...tinySd2, textEncoder: { ...tinySd2.textEncoder, vocabSize: 100 } }

/** The same with two levels of one resnet: a fifth of the tensors. */
function smaller({ unet, vae, ...config }: StableDiffusionConfig): StableDiffusionConfig {
  return {
    ...config,
    unet: { ...unet, blockOutChannels: [32, 64], layersPerBlock: 1, heads: unet.heads.slice(0, 2) },
    textEncoder: { ...config.textEncoder, layers: 2 },
    vae: { ...vae, blockOutChannels: [16, 32], layersPerBlock: 1 },
  }
}
export const small1 = smaller(fewWords1)
export const small2 = smaller(fewWords2)

/** What the shapes of a model do not tell: needed where no metadata does. */
export function sizesOf({ unet, textEncoder, vae }: StableDiffusionConfig): UnseenSizes {
  return { unetHeads: unet.heads, unetGroups: unet.groups, textHeads: textEncoder.heads, vaeGroups: vae.groups }
}

/** Writes a tiny model of random weights as one file in a fresh folder. @returns its path */
export async function saveTinyCheckpoint(
  config: StableDiffusionConfig,
  name = 'model.safetensors',
  options: SaveLdmOptions = {},
): Promise<string> {
  const path = join(await makeFolder(), name)
  const models = new StableDiffusion(config, () => randomWeights(5))
  try {
    await saveLdmCheckpoint(path, models, options)
  } finally {
    models.dispose()
  }
  return path
}

/** The bytes of every parameter by its name. */
export async function valuesOf(registry: Registry): Promise<Map<string, Buffer>> {
  const values = new Map<string, Buffer>()
  for (const { name, tensor } of registry.parameters.values()) {
    const { buffer, byteOffset, byteLength } = await tensor.read()
    values.set(name, Buffer.from(buffer, byteOffset, byteLength))
  }
  return values
}

export interface FileTensors {
  readonly tensors: ReadonlyMap<string, SafetensorsTensor & { readonly data: Uint8Array }>
  readonly metadata: ReadonlyMap<string, string>
}

/** A whole file in memory. */
export async function readTensors(path: string): Promise<FileTensors> {
  const file = await openTensorFile(path)
  try {
    const tensors = new Map<string, SafetensorsTensor & { readonly data: Uint8Array }>()
    for (const name of file.names) {
      const { dtype, shape } = file.info(name)
      tensors.set(name, { name, dtype, shape, data: await file.read(name) })
    }
    return { tensors, metadata: file.metadata }
  } finally {
    await file.close()
  }
}

export interface Changes {
  /** A tensor in place of each; null drops it. Default: all as they are. */
  readonly change?: (tensor: SafetensorsTensor & { readonly data: Uint8Array }) => SafetensorsTensor | null
  readonly more?: readonly SafetensorsTensor[]
  /** Default: the file's. */
  readonly metadata?: Readonly<Record<string, string>>
  /** Default: a fresh folder. */
  readonly path?: string
}

/** Writes a changed copy as safetensors. @returns its path */
export async function changedCopy(path: string, changes: Changes): Promise<string> {
  const { tensors, metadata } = await readTensors(path)
  const changed = [...tensors.values()].map(changes.change ?? ((tensor) => tensor)).filter((tensor) => tensor !== null)
  const target = changes.path ?? join(await makeFolder(), 'changed.safetensors')
  await writeSafetensors(target, [...changed, ...(changes.more ?? [])], {
    metadata: changes.metadata ?? Object.fromEntries(metadata),
  })
  return target
}

/** A tensor of zeros. */
export function zerosOf(
  name: string,
  shape: readonly number[],
  dtype: 'F32' | 'F16' | 'I64' = 'F32',
): SafetensorsTensor {
  const bytes = { F32: 4, F16: 2, I64: 8 }[dtype]
  return { name, dtype, shape, data: new Uint8Array(shape.reduce((product, size) => product * size, bytes)) }
}
