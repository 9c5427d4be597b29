/** Aspect-ratio buckets: the list of training sizes and the choice of one for a picture. */
import { ArgumentError } from '../util/errors.ts'

/** Width and height in pixels. */
export interface Size {
  readonly width: number
  readonly height: number
}

export interface BucketOptions {
  readonly resolution: Size
  /** Smallest and largest width; the largest also bounds the height. Default 256 and 1024. */
  readonly minimum?: number
  readonly maximum?: number
  /** Default 64. */
  readonly steps?: number
}

/** What becomes of a picture in its bucket. */
export interface BucketChoice {
  /** The training size. */
  readonly bucket: Size
  /** The size to resize to before cropping to the bucket; covers it. */
  readonly resized: Size
  /** Aspect ratio (width / height) of the bucket less that of the picture. */
  readonly aspectError: number
}

/** Order of buckets: by width, then by height. */
export function compareSizes(a: Size, b: Size): number {
  return a.width - b.width || a.height - b.height
}

/**
 * All training sizes whose area stays within that of `resolution`, counted in squares of `steps` pixels, in the order of
 * `compareSizes`. The largest such square is always among them, even outside the limits, and heights are not bounded from
 * below.
 *
 * @throws ArgumentError when the limits would give a bucket without height
 */
export function bucketResolutions({ resolution, minimum = 256, maximum = 1024, steps = 64 }: BucketOptions): Size[] {
  const cells = Math.floor(resolution.width / steps) * Math.floor(resolution.height / steps)
  if (minimum < steps)
    throw new ArgumentError('bucketResolutions', 'minimum', `at least steps (${steps})`, String(minimum))
  const square = Math.floor(Math.sqrt(cells)) * steps
  const found = new Map<string, Size>()
  const add = (width: number, height: number): void => {
    if (width < 1 || height < 1) {
      const expected = `small enough for a height of ${steps} at this resolution`
      throw new ArgumentError('bucketResolutions', 'maximum', expected, String(maximum))
    }
    found.set(`${width}x${height}`, { width, height })
  }
  add(square, square)
  for (let width = minimum; width <= maximum; width += steps) {
    const height = Math.min(maximum, Math.floor(cells / Math.floor(width / steps)) * steps)
    add(width, height)
    add(height, width)
  }
  return [...found.values()].sort(compareSizes)
}

/** Rounds half up, as `int(x + 0.5)`. */
function round(x: number): number {
  return Math.floor(x + 0.5)
}

/**
 * The bucket for a picture that may be enlarged: the picture's own size if it is a bucket, otherwise the bucket with the
 * nearest width / height; of equally near ones the first.
 *
 * @param buckets at least one size, in the order of `compareSizes`
 */
export function chooseBucket(image: Size, buckets: readonly Size[]): BucketChoice {
  const ratio = image.width / image.height
  let bucket = buckets.find(({ width, height }) => width === image.width && height === image.height)
  if (bucket === undefined) {
    let nearest = Number.POSITIVE_INFINITY
    for (const candidate of buckets) {
      const distance = Math.abs(candidate.width / candidate.height - ratio)
      if (distance < nearest) {
        nearest = distance
        bucket = candidate
      }
    }
  }
  if (bucket === undefined)
    throw new ArgumentError('chooseBucket', 'buckets', 'a list of at least one size', 'an empty list')
  const bucketRatio = bucket.width / bucket.height
  const scale = ratio > bucketRatio ? bucket.height / image.height : bucket.width / image.width
  return {
    bucket,
    resized: { width: round(image.width * scale), height: round(image.height * scale) },
    aspectError: bucketRatio - ratio,
  }
}

/**
 * The bucket for a picture that must not be enlarged: the picture, shrunk only if its area exceeds that of `resolution`, with
 * both sides cut down to multiples of `steps`. A picture with a side shorter than `steps` gets a bucket of size 0 there, which
 * the caller has to refuse.
 */
export function chooseBucketNoUpscale(image: Size, resolution: Size, steps = 64): BucketChoice {
  const ratio = image.width / image.height
  const resized = shrink(image, ratio, resolution.width * resolution.height, steps)
  const bucket = {
    width: resized.width - (resized.width % steps),
    height: resized.height - (resized.height % steps),
  }
  return { bucket, resized, aspectError: bucket.width / bucket.height - ratio }
}

/** Shrinks to an area of about `area`, with one side a multiple of `steps`: the side that keeps the aspect ratio better. */
function shrink(image: Size, ratio: number, area: number, steps: number): Size {
  if (image.width * image.height <= area) return image
  const roundDown = (x: number): number => round(x) - (round(x) % steps)
  const idealWidth = Math.sqrt(area * ratio)
  const idealHeight = area / idealWidth

  const width1 = roundDown(idealWidth)
  const height1 = roundDown(width1 / ratio)
  const height2 = roundDown(idealHeight)
  const width2 = roundDown(height2 * ratio)
  const error1 = Math.abs(width1 / height1 - ratio)
  const error2 = Math.abs(width2 / height2 - ratio)
  return error1 < error2
    ? { width: width1, height: round(width1 / ratio) }
    : { width: round(height2 * ratio), height: height2 }
}
