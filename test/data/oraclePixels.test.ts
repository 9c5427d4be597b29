import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { bucketResolutions, chooseBucket, chooseBucketNoUpscale, type Size } from '../../lib/data/buckets.ts'
import { type CropPlan, planCrop } from '../../lib/data/cropPlan.ts'
import { type DecodedImage, decodeImage } from '../../lib/data/image.ts'
import { resizeImage } from '../../lib/ops/resizeImage.ts'
import { tensor } from '../../lib/tensor/create.ts'
import {
  loadOracle,
  oracleFolder,
  type PixelDigest,
  type PixelFixture,
  sizeOf,
  turnsUpright,
} from '../support/dataOracle.ts'

const { plans, pictures } = loadOracle<PixelFixture>('pixels')

/** Pictures of which we make something else: Pillow clips 16-bit grey at 255, and multiplies inks with rounding of its own. */
const different = ['main/grey16.png', 'main/cmyk.jpg']
const names = Object.keys(pictures).filter((name) => !different.includes(name) && !name.startsWith('avif/'))

function digest({ width, height, pixels }: DecodedImage): PixelDigest {
  const places = (side: number): number[] => [1, 3, 5, 7].map((odd) => Math.floor((odd * side) / 8))
  const pixel = (x: number, y: number): number[] => [...pixels.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)]
  return {
    size: [width, height],
    sha256: createHash('sha256').update(pixels).digest('hex'),
    grid: places(height).flatMap((y) => places(width).map((x) => pixel(x, y))),
  }
}

async function resizeAndCrop(image: DecodedImage, { resized, left, top, target }: CropPlan): Promise<DecodedImage> {
  const same = resized.width === image.width && resized.height === image.height
  const whole = same
    ? image.pixels
    : ((await resizeImage(tensor(image.pixels, [image.height, image.width, 3]), { ...resized }).read()) as Uint8Array)
  const pixels = new Uint8Array(target.width * target.height * 3)
  for (let y = 0; y < target.height; y++) {
    const start = ((top + y) * resized.width + left) * 3
    pixels.set(whole.subarray(start, start + target.width * 3), y * target.width * 3)
  }
  return { ...target, pixels }
}

function choose(image: Size, { resolution, noUpscale, ...limits }: PixelFixture['plans'][string]): CropPlan {
  const target = sizeOf(resolution)
  return planCrop(
    image,
    noUpscale
      ? chooseBucketNoUpscale(image, target, limits.steps)
      : chooseBucket(image, bucketResolutions({ ...limits, resolution: target })),
  )
}

/** OpenCV adds up in another order, so that single values may be rounded the other way: one level, where the digests differ. */
function expectNear(actual: PixelDigest, expected: PixelDigest, plan: string): void {
  expect(actual.size, plan).toEqual(expected.size)
  if (actual.sha256 === expected.sha256) return
  const values = expected.grid.flat()
  const largest = Math.max(...actual.grid.flat().map((value, i) => Math.abs(value - values[i]!)))
  expect(largest, plan).toBeLessThanOrEqual(1)
}

describe('pixels against sd-scripts', () => {
  it.each(names)('are the same, decoded, resized and cropped: %s', async (name) => {
    const { decoded, cropped } = (turnsUpright ? pictures[name]!.upright : undefined) ?? pictures[name]!
    const image = await decodeImage(join(oracleFolder, 'pictures', name))
    expect(digest(image)).toEqual(decoded)
    for (const [plan, expected] of Object.entries(cropped)) {
      if (expected === null) continue
      const crop = choose(image, plans[plan]!)
      expect([crop.resized.width, crop.resized.height], plan).toEqual(expected.resized)
      expectNear(digest(await resizeAndCrop(image, crop)), expected, plan)
    }
  })
})
