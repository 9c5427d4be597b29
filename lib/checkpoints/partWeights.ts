/** Which files hold the weights of a part of a diffusers folder. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openTensorFile } from '../io/openTensorFile.ts'
import { openShardedFile } from '../io/shardedFile.ts'
import { systemErrorCode, toIoError } from '../io/systemError.ts'
import type { TensorFile } from '../io/tensorFile.ts'
import type { ModelPart } from '../models/stableDiffusion/stableDiffusion.ts'
import { CheckpointError, IoError } from '../util/errors.ts'

export type WeightFormat = 'safetensors' | 'bin'

/** The weights of one part. */
export interface PartWeights {
  /** The file, or the index of the files. */
  readonly path: string
  readonly format: WeightFormat
  readonly sharded: boolean
  /** `'fp16'` of `model.fp16.safetensors`; null for the plain files. */
  readonly variant: string | null
}

/** Folder of each part, and what its weight files are called before the variant and the extension. */
export const partFolders = {
  unet: { folder: 'unet', safetensors: 'diffusion_pytorch_model', bin: 'diffusion_pytorch_model' },
  textEncoder: { folder: 'text_encoder', safetensors: 'model', bin: 'pytorch_model' },
  vae: { folder: 'vae', safetensors: 'diffusion_pytorch_model', bin: 'diffusion_pytorch_model' },
} as const satisfies Readonly<Record<ModelPart, { readonly folder: string } & Readonly<Record<WeightFormat, string>>>>

export interface FindWeightsOptions {
  /** Take these files where a part has them. Default: the plain files where there are some, else the only variant. */
  readonly variant?: string | undefined
}

/**
 * Finds the weight files of a part: plain files before variants, `.safetensors` before `.bin`, one file before several.
 *
 * @throws IoError when there is no such folder or no weight file in it
 * @throws CheckpointError when there are only variants, several of them, and none was asked for
 */
export async function findPartWeights(
  folder: string,
  part: ModelPart,
  options: FindWeightsOptions = {},
): Promise<PartWeights> {
  const names = partFolders[part]
  const place = join(folder, names.folder)
  const present = await readdir(place).catch((error: unknown) => {
    throw toIoError(place, 'read the folder', error)
  })
  const found = present.map((name) => describeWeights(place, name, names)).filter((weights) => weights !== null)
  const variants = [...new Set(found.map(({ variant }) => variant))]
  const wanted = [options.variant, null, variants.length === 1 ? variants[0] : undefined].find(
    (variant) => variant !== undefined && variants.includes(variant),
  )
  if (wanted !== undefined) return found.filter(({ variant }) => variant === wanted).sort(byPreference)[0]!
  if (variants.length > 0)
    throw new CheckpointError(
      place,
      `there are weights in the variants ${variants.toSorted().join(', ')} and no plain ones; say which variant to take`,
    )
  const expected = `${names.safetensors}.safetensors or ${names.bin}.bin`
  const listed = present.length === 0 ? 'nothing' : present.toSorted().slice(0, 8).join(', ')
  throw new IoError(
    join(place, `${names.safetensors}.safetensors`),
    `no weights: expected ${expected}, found ${listed}`,
  )
}

/** Variants that the parts of a folder have, sorted. */
export async function listVariants(folder: string): Promise<string[]> {
  const variants = new Set<string>()
  for (const names of Object.values(partFolders)) {
    const place = join(folder, names.folder)
    const present: readonly string[] = await readdir(place).catch((error: unknown) => {
      if (systemErrorCode(error) === 'ENOENT') return []
      throw toIoError(place, 'read the folder', error)
    })
    for (const name of present) {
      const variant = describeWeights(place, name, names)?.variant
      if (typeof variant === 'string') variants.add(variant)
    }
  }
  return [...variants].sort()
}

/**
 * Opens the weights of a part; the caller closes them.
 * @throws IoError or CheckpointError when they cannot be read or are damaged
 */
export async function openPartWeights({ path, sharded }: PartWeights): Promise<TensorFile> {
  return sharded ? openShardedFile(path) : openTensorFile(path)
}

/** `<base>[.<variant>].<extension>` or `<base>.<extension>.index[.<variant>].json`; null for any other name, shards included. */
function describeWeights(
  folder: string,
  name: string,
  bases: Readonly<Record<WeightFormat, string>>,
): PartWeights | null {
  for (const format of ['safetensors', 'bin'] as const) {
    if (!name.startsWith(`${bases[format]}.`)) continue
    const rest = name.slice(bases[format].length)
    const index = /^\.(safetensors|bin)\.index(?:\.([\w-]+))?\.json$/.exec(rest)
    const single = /^(?:\.([\w-]+))?\.(safetensors|bin)$/.exec(rest)
    if (index?.[1] === format) return { path: join(folder, name), format, sharded: true, variant: index[2] ?? null }
    // One of several: `model.fp16-00001-of-00002.safetensors`.
    if (single?.[2] === format && !/-\d+-of-\d+$/.test(single[1] ?? ''))
      return { path: join(folder, name), format, sharded: false, variant: single[1] ?? null }
  }
  return null
}

function byPreference(a: PartWeights, b: PartWeights): number {
  if (a.format !== b.format) return a.format === 'safetensors' ? -1 : 1
  return Number(a.sharded) - Number(b.sharded)
}
