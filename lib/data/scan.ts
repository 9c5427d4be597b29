/** The first pass over the files of a subset: which pictures, how large, with which captions. */
import type { DreamBoothSubset, SubsetConfig } from '../config/datasetConfig.ts'
import { DataError } from '../util/errors.ts'
import { mapLimited } from '../util/mapLimited.ts'
import type { Size } from './buckets.ts'
import { type Caption, readCaption } from './captions.ts'
import type { Orientation } from './headerReader.ts'
import { decodeImage } from './image.ts'
import { explainNoImages, listImages } from './imageFolder.ts'
import { type ImageHeader, readImageHeader } from './imageHeader.ts'
import type { LatentFiles } from './latentFiles.ts'

export interface ScannedImage {
  /** The key in the metadata of fine-tuning. Default: the path. */
  readonly key?: string
  readonly path: string
  /** Of the picture as it is used, turned by its orientation; of a picture that comes with latents, that of its training. */
  readonly size: Size
  /** How the stored picture is turned; 1: not at all. */
  readonly orientation: Orientation
  readonly caption: Caption
  /** The tags among the caption, where metadata tell them apart. */
  readonly tags?: string | undefined
  /** Used in place of the picture. */
  readonly latents?: LatentFiles
}

/** A subset and its pictures in path order. */
export interface ScannedSubset {
  readonly config: SubsetConfig
  readonly images: readonly ScannedImage[]
}

export interface SubsetScan {
  /** Undefined when the subset is left out. */
  readonly subset: ScannedSubset | undefined
  readonly errors: readonly DataError[]
  readonly warnings: readonly string[]
  /** Set when the folder holds no picture: the error to raise if nothing else is left to train on. */
  readonly emptyFolder?: DataError
}

/** Files opened at a time. */
const concurrency = 8
const missingShown = 5

/**
 * Looks at every picture and caption of a subset. Problems are collected, not thrown. Only headers are read, except of a file
 * whose end looks wrong: it is decoded to be sure.
 */
export async function scanSubset(config: DreamBoothSubset): Promise<SubsetScan> {
  const { imageDir } = config
  let paths: readonly string[]
  try {
    paths = await listImages(imageDir)
    if (paths.length === 0) {
      const emptyFolder = new DataError(
        imageDir,
        `there are no pictures in this folder.${await explainNoImages(imageDir)}`,
      )
      return {
        subset: undefined,
        errors: [],
        warnings: [`${emptyFolder.message} The subset is left out.`],
        emptyFolder,
      }
    }
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    return { subset: undefined, errors: [error], warnings: [] }
  }

  const errors: DataError[] = []
  const collect = async <T>(work: Promise<T>): Promise<T | undefined> => {
    try {
      return await work
    } catch (error) {
      if (!(error instanceof DataError)) throw error
      errors.push(error)
      return undefined
    }
  }
  const found = await mapLimited(paths, concurrency, async (path): Promise<ScannedImage | undefined> => {
    const header = await collect(readCheckedHeader(path))
    const caption = await collect(readCaption(path, config))
    if (header === undefined || caption === undefined) return undefined
    const { width, height, orientation } = header
    return { path, size: { width, height }, orientation, caption }
  })
  const images = found.filter((image) => image !== undefined)
  errors.sort((a, b) => (a.path < b.path ? -1 : 1))
  return { subset: { config, images }, errors, warnings: missingCaptions(config, images) }
}

async function readCheckedHeader(path: string): Promise<ImageHeader> {
  const header = await readImageHeader(path)
  if (!header.looksComplete) await decodeImage(path)
  return header
}

function missingCaptions({ classTokens, imageDir }: DreamBoothSubset, images: readonly ScannedImage[]): string[] {
  const missing = images.filter((image) => image.caption.file === undefined).map((image) => image.path)
  if (missing.length === 0) return []
  const shown = missing.slice(0, missingShown).join(', ')
  const more = missing.length > missingShown ? `, and ${missing.length - missingShown} more` : ''
  const instead = classTokens === undefined ? 'the empty caption' : `class_tokens ${JSON.stringify(classTokens)}`
  return [
    `${imageDir}: ${missing.length} of ${images.length} pictures have no caption file and use ${instead}: ${shown}${more}`,
  ]
}
