/** Pictures for people: what the model gets, and the file it came from. */
import { type BatchItem, readPicture } from '../data/batches.ts'
import type { Size } from '../data/buckets.ts'
import { decodeImage } from '../data/image.ts'
import { encodePng, type RgbImage } from '../preview/png.ts'
import { loadedTensor } from '../train/inputs/latents.ts'
import { DataError } from '../util/errors.ts'

/** Longest side of a source picture as shown. */
const sourceSide = 768

export interface ShowOptions {
  readonly ignoreExif: boolean
}

/** The picture as the model gets it: the values x of its tensor, in [-1, 1], back in 0..255. */
export async function trainedPicture(item: BatchItem, options: ShowOptions): Promise<RgbImage> {
  const picture = loadedTensor(await readPicture(item, options), item)
  try {
    const values = await picture.read()
    const pixels = Uint8Array.from(values as Float32Array, (x) => Math.round((x + 1) * 127.5))
    return { width: picture.dim(2), height: picture.dim(1), pixels }
  } finally {
    picture.dispose()
  }
}

/** PNG of {@link trainedPicture}, without loss; a crossed-out field for a damaged picture. */
export async function trainedPng(item: BatchItem, options: ShowOptions): Promise<Uint8Array> {
  return encodePng(await orCrossedOut(trainedPicture(item, options), item.crop.target))
}

/** JPEG of the file the picture came from, at most 768 pixels on a side; a crossed-out field for a damaged picture. */
export async function sourceJpeg(item: BatchItem, options: ShowOptions): Promise<Uint8Array> {
  const { width, height, pixels } = await orCrossedOut(decodeImage(item.image.path, options), item.crop.source)
  const { default: sharp } = await import('sharp')
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .resize({ width: sourceSide, height: sourceSide, fit: 'inside', withoutEnlargement: true })
    .jpeg({ quality: 85 })
    .toBuffer()
}

async function orCrossedOut(picture: Promise<RgbImage>, size: Size): Promise<RgbImage> {
  try {
    return await picture
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    return crossedOut(size)
  }
}

/** Red diagonals on grey. */
function crossedOut({ width, height }: Size): RgbImage {
  const pixels = new Uint8Array(width * height * 3).fill(64)
  for (let y = 0; y < height; y++) {
    const x = Math.floor((y * width) / height)
    for (const at of [x, width - 1 - x]) pixels.set([224, 48, 48], (y * width + at) * 3)
  }
  return { width, height, pixels }
}
