/** Loss masks in a folder of their own: one picture for each of a subset, of the same name but for the extension, and of its size. */
import { parse } from 'node:path'
import type { DreamBoothSubset } from '../config/datasetConfig.ts'
import { DataError } from '../util/errors.ts'
import { listed } from '../util/listed.ts'
import { mapLimited } from '../util/mapLimited.ts'
import { decodeImage } from './image.ts'
import { type FolderListing, listFolder } from './imageFolder.ts'
import { type ImageOptions, readImageHeader } from './imageHeader.ts'
import type { ScannedImage } from './scan.ts'

export interface MaskedImages {
  /** With their masks, as far as these are right. */
  readonly images: readonly ScannedImage[]
  readonly errors: readonly DataError[]
  readonly warnings: readonly string[]
}

/** Files opened at a time. */
const concurrency = 8

/** Finds the mask of every picture of a subset that has a folder of masks. Problems are collected, not thrown; only headers are read. */
export async function withMasks(
  { conditioningDataDir: folder }: Pick<DreamBoothSubset, 'conditioningDataDir'>,
  images: readonly ScannedImage[],
  options: ImageOptions,
): Promise<MaskedImages> {
  if (folder === undefined) return { images, errors: [], warnings: [] }
  let listing: FolderListing
  try {
    listing = await listFolder(folder)
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    return { images, errors: [error], warnings: [] }
  }
  const masks = new Map<string, string>()
  const doubled: string[] = []
  for (const path of listing.images) {
    const { name } = parse(path)
    if (masks.has(name)) doubled.push(path)
    else masks.set(name, path)
  }
  const errors: DataError[] = []
  const missing: string[] = []
  const used = new Set<string>()
  const masked = await mapLimited(images, concurrency, async (image): Promise<ScannedImage> => {
    const { name } = parse(image.path)
    const mask = masks.get(name)
    if (mask === undefined) missing.push(image.path)
    else {
      used.add(name)
      const problem = await maskProblem(mask, image, options)
      if (problem === undefined) return { ...image, mask }
      errors.push(problem)
    }
    return image
  })
  if (missing.length > 0) {
    const message = `${missing.length} of ${images.length} pictures have no mask of the same name here: ${listed(missing.sort(), 20)}. Add the masks, or leave conditioning_data_dir out`
    errors.push(new DataError(folder, message))
  }
  const idle = [...masks].filter(([name]) => !used.has(name)).map(([, path]) => path)
  return { images: masked, errors, warnings: [...remark(folder, doubled, idle)] }
}

async function maskProblem(
  mask: string,
  { path, size }: ScannedImage,
  options: ImageOptions,
): Promise<DataError | undefined> {
  try {
    const { width, height, looksComplete } = await readImageHeader(mask, options)
    if (width !== size.width || height !== size.height) {
      const message = `the mask is ${width}x${height} but its picture ${path} is ${size.width}x${size.height}: make them of one size`
      return new DataError(mask, message)
    }
    if (!looksComplete) await decodeImage(mask, options)
    return undefined
  } catch (error) {
    if (error instanceof DataError) return error
    throw error
  }
}

function* remark(folder: string, doubled: readonly string[], idle: readonly string[]): Generator<string> {
  if (doubled.length > 0)
    yield `${folder}: masks that are not used, since there is another of the name: ${listed(doubled)}`
  if (idle.length > 0) yield `${folder}: masks of no picture in use: ${listed(idle)}`
}
