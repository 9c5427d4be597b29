import type { ResizeInterpolation } from '../config/datasetConfig.ts'
import { ArgumentError, DataError } from '../util/errors.ts'
import type { CropPlan } from './cropPlan.ts'
import { type DecodedImage, type DecodeOptions, decodeEncoded, type EncodedImage, readEncoded } from './image.ts'

/** How a picture gets to its size; `lib/ops/resizeImage.ts` says what each does. */
export type PictureResize = 'area' | 'nearest' | 'linear' | 'cubic' | 'lanczos' | 'lanczos3' | 'box'

const methods = {
  area: 'area',
  nearest: 'nearest',
  bilinear: 'linear',
  linear: 'linear',
  bicubic: 'cubic',
  cubic: 'cubic',
  lanczos: 'lanczos3',
  box: 'box',
} as const satisfies Readonly<Record<Exclude<ResizeInterpolation, 'auto'>, PictureResize>>

/** How a picture is resized for its plan, as sd-scripts v0.10 does. */
export function resizeMethod(interpolation: ResizeInterpolation, { source, resized }: CropPlan): PictureResize {
  if (interpolation !== 'auto') return methods[interpolation]
  return resized.width > source.width || resized.height > source.height ? 'lanczos3' : 'area'
}

export interface LoadPictureOptions extends DecodeOptions {
  /** Default area. */
  readonly method?: PictureResize
}

/**
 * Decodes a picture, resizes it and cuts out the window of its plan: `plan.target` pixels, and their opacity where it was asked
 * for. All of it happens on libuv's threads, so that several pictures are loaded at a time, nothing waits for the device, and the
 * main thread is free. Of the resized picture only the window is computed.
 *
 * A JPEG is decoded, turned and resized a few rows at a time (see benchmarks/README.md), if that goes well; any other picture, and one
 * with damage that is to be named, as a whole. Either way in full: reading a JPEG at a half or a quarter, as its format allows, is faster, but the result differs from the
 * mean of the area by up to 51 levels (see benchmarks/README.md).
 *
 * @throws DataError when the picture cannot be decoded, or no longer has the size that the plan was made for
 */
export async function loadPicture(
  path: string,
  plan: CropPlan,
  { method = 'area', ...options }: LoadPictureOptions = {},
): Promise<DecodedImage> {
  const { source, resized, left, top, target } = plan
  if (left < 0 || top < 0 || left + target.width > resized.width || top + target.height > resized.height)
    throw new ArgumentError(
      'loadPicture',
      'plan',
      `a window inside the resized picture (${resized.width}x${resized.height})`,
      `${target.width}x${target.height} at ${left},${top}`,
    )
  const encoded = await readEncoded(path, options)
  const { width, height } = encoded.header
  if (width !== source.width || height !== source.height) {
    const message = `the picture is now ${width}x${height} but was ${source.width}x${source.height} at the start: do not change pictures during training`
    throw new DataError(path, message)
  }
  if (width === target.width && height === target.height) return decodeEncoded(encoded, options)
  const window = [top, left, target.height, target.width]
  const numbers = (channels: number): number[] => [height, width, channels, resized.height, resized.width, ...window]
  const { addon } = await import('../native/load.ts')
  if (canStream(encoded)) {
    await import('sharp')
    const pixels = await addon.resizeEncoded(encoded.bytes, [...numbers(3), encoded.header.orientation], method)
    if (pixels !== null) return { ...target, pixels: new Uint8Array(pixels) }
  }
  const image = await decodeEncoded(encoded, options)
  const toWindow = async (plane: Uint8Array, channels: number): Promise<Uint8Array> =>
    new Uint8Array(await addon.resizePicture(plane, numbers(channels), method))
  const pixels = await toWindow(image.pixels, 3)
  return { ...target, pixels, ...(image.alpha && { alpha: await toWindow(image.alpha, 1) }) }
}

/** Whether a file can be decoded a few rows at a time. Inks are mixed by `decodeEncoded` alone. */
function canStream({ header, stored }: EncodedImage): boolean {
  return header.format === 'jpeg' && stored.cmyk !== true
}
