/** Crops around the face that a picture's name tells of. */
import { basename, extname } from 'node:path'
import { subsetPlace } from '../config/subsetPlace.ts'
import { listed } from '../util/listed.ts'
import type { Size } from './buckets.ts'
import type { CropPlan, CropRandom } from './cropPlan.ts'
import type { ScannedSubset } from './scan.ts'

export interface Face {
  /** Centre, in pixels of the picture. */
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

/**
 * The face in a name such as `anna_0310_0212_0096_0096.png`, as a face cropper writes it: the last four of at least five pieces are centre
 * and size. Undefined for names without four whole numbers, and for a face without a size or at the left edge, which stands for none.
 */
export function faceInName(path: string): Face | undefined {
  const pieces = basename(path, extname(path)).split('_')
  if (pieces.length < 5) return undefined
  const numbers = pieces.slice(-4)
  if (!numbers.every((piece) => /^\s*[+-]?\d+\s*$/.test(piece))) return undefined
  const [x, y, width, height] = numbers.map(Number) as [number, number, number, number]
  return x > 0 && Math.max(width, height) > 0 ? { x, y, width, height } : undefined
}

/**
 * Pictures that are to be cropped around a face and have none, at most one remark.
 * @param isResized whether pictures are resized to cover their training size, and so not cropped around faces
 */
export function facelessPictures({ config, images }: ScannedSubset, isResized: boolean): string[] {
  if (config.faceCropAugRange === undefined || isResized) return []
  const without = images.filter(({ path, latents }) => latents === undefined && faceInName(path) === undefined)
  if (without.length === 0) return []
  const count = `${without.length} of ${images.length} pictures`
  const paths = listed(without.map(({ path }) => path))
  return [
    `${subsetPlace(config)}: face_crop_aug_range does nothing for ${count}, whose names tell no face (..._x_y_width_height): ${paths}`,
  ]
}

export interface FaceCropOptions {
  /** Least and most of the target's shorter side, in sizes of the face. */
  readonly range: readonly [least: number, most: number]
  /** Whether the face may be anywhere, more often in the middle. */
  readonly randomCrop: boolean
}

/**
 * The plan for a picture with a face, without buckets: shrunk by a random factor that leaves the face in the range, as far as the picture
 * then still covers the target, and cut out around the face. A picture of the target's size stays as it is.
 *
 * Draws the factor, then for the height and after it for the width: two numbers with `randomCrop`, or one for a small shift where the range
 * is one and the face is large enough.
 *
 * @returns undefined when the picture does not cover the target
 */
export function planFaceCrop(
  image: Size,
  target: Size,
  face: Face,
  options: FaceCropOptions,
  random: CropRandom,
): CropPlan | undefined {
  if (image.width === target.width && image.height === target.height)
    return { source: image, resized: image, left: 0, top: 0, target }
  const factor = drawFactor(image, target, face, options, random)
  const resized = { width: Math.floor(image.width * factor + 0.5), height: Math.floor(image.height * factor + 0.5) }
  if (resized.width < target.width || resized.height < target.height) return undefined
  const place = (length: number, window: number, centre: number): number => {
    const scaled = Math.floor(centre * factor + 0.5)
    const start = scaled - Math.floor(window / 2) + drawShift(length, scaled, target, face, options, random)
    return Math.max(0, Math.min(start, length - window))
  }
  const top = place(resized.height, target.height, face.y)
  const left = place(resized.width, target.width, face.x)
  return { source: image, resized, left, top, target }
}

/** Never enlarges. */
function drawFactor(image: Size, target: Size, face: Face, { range }: FaceCropOptions, random: CropRandom): number {
  const faceSize = Math.max(face.width, face.height)
  const side = Math.min(target.width, target.height)
  const covering = Math.max(target.height / image.height, target.width / image.width)
  const least = Math.min(1, Math.max(covering, side / (faceSize * range[1])))
  const most = Math.min(1, Math.max(least, side / (faceSize * range[0])))
  return least >= most ? least : least + (most - least) * random.float()
}

function drawShift(
  length: number,
  centre: number,
  target: Size,
  face: Face,
  { range, randomCrop }: FaceCropOptions,
  random: CropRandom,
): number {
  if (randomCrop) {
    const reach = Math.max(length - centre, centre)
    return random.integer(reach + 1) + random.integer(reach + 1) - reach
  }
  const faceSize = Math.max(face.width, face.height)
  const side = Math.min(target.width, target.height)
  if (range[0] === range[1] || faceSize <= Math.floor(side / 10) || faceSize < 40) return 0
  const [lowest, highest] = [Math.floor(-faceSize / 20), Math.floor(faceSize / 20)]
  return lowest + random.integer(highest - lowest + 1)
}
