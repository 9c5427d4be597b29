/** Datasets described by folder names alone: `<parent>/<repeats>_<words>/` holds the pictures of one subset. */
import { join } from 'node:path'
import { type DatasetGroupConfig, type ResolveOptions, resolveDatasetConfig } from '../config/datasetConfig.ts'
import { DataError } from '../util/errors.ts'
import { isImageName, listImages, readFolder } from './imageFolder.ts'

export interface RepeatFolders {
  /** Parent of the training folders. */
  readonly trainDataDir: string
  /** Parent of the regularization folders, if there are any. */
  readonly regDataDir?: string | undefined
}

/** `20_sls frog` as 20 repeats of `sls frog`; undefined when the name does not begin with a whole number. */
export function parseFolderName(name: string): { readonly repeats: number; readonly words: string } | undefined {
  const [first = '', ...rest] = name.split('_')
  if (!/^\s*[+-]?\d+\s*$/.test(first)) return undefined
  return { repeats: Number(first), words: rest.join('_') }
}

/**
 * The configuration of one dataset whose subsets are the numbered folders, training folders first, each group by name.
 *
 * @throws DataError when a parent is missing or the training parent has no usable folder
 * @throws ConfigError when the command-line values are wrong
 */
export async function datasetConfigFromFolders(
  folders: RepeatFolders,
  options: ResolveOptions = {},
): Promise<{ readonly config: DatasetGroupConfig; readonly warnings: readonly string[] }> {
  const { trainDataDir, regDataDir } = folders
  const train = await findSubsets(trainDataDir, false)
  if (train.subsets.length === 0) throw await noSubsets(trainDataDir)
  const reg = regDataDir === undefined ? { subsets: [], warnings: [] } : await findSubsets(regDataDir, true)
  const warnings = [...train.warnings, ...reg.warnings]
  if (regDataDir !== undefined && reg.subsets.length === 0) warnings.push((await noSubsets(regDataDir)).message)
  const config = await resolveDatasetConfig({ datasets: [{ subsets: [...train.subsets, ...reg.subsets] }] }, options)
  return { config, warnings }
}

interface FolderSubset {
  readonly image_dir: string
  readonly num_repeats: number
  readonly class_tokens: string
  readonly is_reg: boolean
  readonly [option: string]: unknown
}

async function findSubsets(parent: string, isReg: boolean): Promise<{ subsets: FolderSubset[]; warnings: string[] }> {
  const subsets: FolderSubset[] = []
  const warnings: string[] = []
  let strayImages = 0
  for (const entry of await readFolder(parent)) {
    if (!entry.isDirectory() && !entry.isSymbolicLink()) {
      if (isImageName(entry.name)) strayImages++
      continue
    }
    const parsed = parseFolderName(entry.name)
    if (parsed === undefined) {
      if (entry.isDirectory())
        warnings.push(`${join(parent, entry.name)}: not used, since its name is not <repeats>_<words>`)
      continue
    }
    const image_dir = join(parent, entry.name)
    if (parsed.repeats < 1) {
      warnings.push(`${image_dir}: not used, since its repeats are less than 1`)
      continue
    }
    subsets.push({ image_dir, num_repeats: parsed.repeats, class_tokens: parsed.words, is_reg: isReg })
  }
  if (strayImages > 0 && subsets.length > 0) {
    warnings.push(
      `${parent}: the ${strayImages} pictures directly in it are not used, only those in its <repeats>_<words> folders`,
    )
  }
  return { subsets, warnings }
}

/** Says what is wrong with a parent that has no `<repeats>_<words>` folder. */
async function noSubsets(parent: string): Promise<DataError> {
  const images = await listImages(parent)
  const rule = 'pictures belong in a subfolder named <repeats>_<words>, such as "10_sks dog"'
  if (images.length > 0) {
    return new DataError(
      parent,
      `the ${images.length} pictures are directly in this folder: ${rule}. Move them into one`,
    )
  }
  const others = (await readFolder(parent)).filter((entry) => entry.isDirectory()).map((entry) => `"${entry.name}"`)
  const found = others.length === 0 ? 'it has no subfolder' : `found only ${others.slice(0, 5).join(', ')}`
  return new DataError(parent, `no pictures to train on: ${rule}; ${found}`)
}
