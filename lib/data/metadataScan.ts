/** The first pass over a metadata file of fine-tuning: its entries with their files and captions. */
import { resolve } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { FineTuningSubset } from '../config/datasetConfig.ts'
import type { MetadataEntry, MetadataSize } from '../metadata/metadataEntry.ts'
import { readMetadata } from '../metadata/readMetadata.ts'
import { DataError, IoError } from '../util/errors.ts'
import { listed } from '../util/listed.ts'
import type { Size } from './buckets.ts'
import type { LatentFiles } from './latentFiles.ts'
import { type KeyFiles, KeyFinder } from './metadataFiles.ts'

/** An entry of a metadata file. */
export interface MetadataImage {
  readonly key: string
  /** Undefined when there are latents only. */
  readonly picture: string | undefined
  /** Undefined when there are none. */
  readonly latents: LatentFiles | undefined
  readonly trainResolution: Size | undefined
  /** Undefined when the entry has neither caption nor tags. */
  readonly caption: string | undefined
  readonly tags: string | undefined
}

export interface MetadataSubset {
  readonly config: FineTuningSubset
  /** In the order of the file. */
  readonly images: readonly MetadataImage[]
}

export interface MetadataScan {
  /** Undefined when the subset is left out. */
  readonly subset: MetadataSubset | undefined
  readonly errors: readonly DataError[]
  readonly warnings: readonly string[]
  /** Set when the file has no entry: the error to raise if nothing else is left to train on. */
  readonly empty?: DataError
}

export interface MetadataScanOptions {
  /** Whether keys may lead out of `image_dir`; see `KeyFinder`. Default false. */
  readonly allowOutside?: boolean
}

/** Keys looked up between two turns of the event loop. */
const keysAtATime = 256

/** Reads a metadata file and looks up the files of its keys. Problems are collected, not thrown. No picture is opened. */
export async function scanMetadata(config: FineTuningSubset, options: MetadataScanOptions = {}): Promise<MetadataScan> {
  const { metadataFile } = config
  let entries: ReadonlyMap<string, MetadataEntry>
  const warnings: string[] = []
  try {
    const metadata = await readMetadata(metadataFile)
    entries = metadata.entries
    warnings.push(...metadata.warnings)
  } catch (error) {
    if (error instanceof DataError) return { subset: undefined, errors: [error], warnings }
    if (!(error instanceof IoError)) throw error
    const problem = new DataError(metadataFile, 'the metadata cannot be read: check the path', { cause: error })
    return { subset: undefined, errors: [problem], warnings }
  }
  if (entries.size === 0) {
    const empty = new DataError(metadataFile, 'the metadata name no picture.')
    return { subset: undefined, errors: [], warnings: [`${empty.message} The subset is left out.`], empty }
  }
  const finder = new KeyFinder(config.imageDir, options.allowOutside ?? false)
  const errors: DataError[] = []
  const images: MetadataImage[] = []
  const ambiguous: string[] = []
  let looked = 0
  for (const [key, entry] of entries) {
    if (++looked % keysAtATime === 0) await setImmediate()
    const files = await finder.find(key)
    if (files.picture === undefined && files.latents === undefined) {
      errors.push(new DataError(metadataFile, missingFile(key, files, config)))
      continue
    }
    if (files.others.length > 0) ambiguous.push(`"${key}" (${[files.picture, ...files.others].join(', ')})`)
    images.push(imageOf(key, entry, files, config))
  }
  if (ambiguous.length > 0) {
    warnings.push(`${metadataFile}: keys that fit several pictures, of which the first is used: ${listed(ambiguous)}`)
  }
  warnings.push(...samePictures(metadataFile, images))
  const bare = images.filter(({ caption }) => caption === undefined).map(({ key }) => `"${key}"`)
  if (bare.length > 0) {
    warnings.push(
      `${metadataFile}: ${bare.length} of ${images.length} entries have neither caption nor tags and use the empty caption: ${listed(bare)}`,
    )
  }
  return { subset: { config, images }, errors, warnings }
}

function missingFile(key: string, { outside }: KeyFiles, { imageDir }: FineTuningSubset): string {
  const name = JSON.stringify(key)
  if (outside !== undefined) {
    return `the key ${name} leads to ${outside}, out of image_dir ${imageDir}: leave image_dir out if the keys are paths, or allow files outside of it (--allow_outside_image_dir)`
  }
  if (imageDir === undefined) {
    return `there is no picture for the key ${name}: without image_dir keys must be paths, relative ones from ${process.cwd()}`
  }
  return `there is no picture for the key ${name}, neither as a path nor in ${imageDir}: check image_dir, or remove the entry`
}

function imageOf(key: string, entry: MetadataEntry, files: KeyFiles, config: FineTuningSubset): MetadataImage {
  const { caption, tags, trainResolution } = entry
  return {
    key,
    picture: files.picture,
    latents: files.latents,
    trainResolution: trainResolution && sizeOf(trainResolution),
    caption: joinCaption(caption, tags, config),
    tags,
  }
}

function sizeOf([width, height]: MetadataSize): Size {
  return { width, height }
}

/**
 * A caption with the tags after it, joined by ", ", or by `caption_separator` if that is not the comma; with wildcards, tags
 * come after each line, since one of the lines is chosen. An empty caption is a caption, and gets the separator as well.
 */
export function joinCaption(
  caption: string | undefined,
  tags: string | undefined,
  { captionSeparator, enableWildcard }: Pick<FineTuningSubset, 'captionSeparator' | 'enableWildcard'>,
): string | undefined {
  if (caption === undefined || tags === undefined || tags === '') return caption ?? tags
  const separator = captionSeparator === ',' ? ', ' : captionSeparator
  const lines = enableWildcard ? caption.split('\n') : [caption]
  return lines.map((line) => line + separator + tags).join('\n')
}

function samePictures(metadataFile: string, images: readonly MetadataImage[]): string[] {
  const keys = new Map<string, string>()
  const repeated: string[] = []
  for (const { key, picture } of images) {
    if (picture === undefined) continue
    const path = resolve(picture)
    const first = keys.get(path)
    if (first === undefined) keys.set(path, key)
    else repeated.push(`"${first}" and "${key}" (${picture})`)
  }
  if (repeated.length === 0) return []
  return [`${metadataFile}: several keys for one picture, which is used for each: ${listed(repeated)}`]
}
