/** The first pass over the files of a subset: which pictures, how large, with which captions. */
import type { DreamBoothSubset, SubsetConfig } from '../config/datasetConfig.ts'
import { DataError } from '../util/errors.ts'
import { mapLimited } from '../util/mapLimited.ts'
import type { Size } from './buckets.ts'
import { type Caption, readCaption } from './captions.ts'
import { decodeImage } from './image.ts'
import { explainNoImages, listImages } from './imageFolder.ts'
import { readImageHeader } from './imageHeader.ts'

export interface ScannedImage {
  readonly path: string
  readonly size: Size
  readonly caption: Caption
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
  let paths: string[]
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
    const size = await collect(readCheckedSize(path))
    const caption = await collect(readCaption(path, config))
    return size && caption && { path, size, caption }
  })
  const images = found.filter((image) => image !== undefined)
  errors.sort((a, b) => (a.path < b.path ? -1 : 1))
  return { subset: { config, images }, errors, warnings: missingCaptions(config, images) }
}

async function readCheckedSize(path: string): Promise<Size> {
  const { width, height, looksComplete } = await readImageHeader(path)
  if (!looksComplete) await decodeImage(path)
  return { width, height }
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
