import { describe, expect, it } from 'vitest'
import { bucketResolutions, chooseBucket, chooseBucketNoUpscale, type Size } from '../../lib/data/buckets.ts'
import { planCrop } from '../../lib/data/cropPlan.ts'

function size(text: string): Size {
  const [width, height] = text.split('x').map(Number)
  return { width: width!, height: height! }
}

function text({ width, height }: Size): string {
  return `${width}x${height}`
}

function transposed(text: string): string {
  return text.split('x').reverse().join('x')
}

describe('bucketResolutions', () => {
  it.each([
    ['512x512', 256, 1024, 64, '256x832 256x896 256x960 256x1024 320x704 320x768 384x640 448x576 512x512', 17],
    [
      '768x768',
      256,
      1024,
      64,
      '256x1024 320x1024 384x1024 448x1024 512x1024 576x960 576x1024 640x896 704x832 768x768',
      19,
    ],
    [
      '512x768',
      256,
      1024,
      64,
      '256x1024 320x1024 384x896 384x960 384x1024 448x832 512x704 512x768 576x576 576x640',
      19,
    ],
    [
      '768x768',
      384,
      1280,
      64,
      '384x1280 448x1216 448x1280 512x1088 512x1152 576x960 576x1024 640x896 704x832 768x768',
      19,
    ],
    ['512x512', 256, 1024, 128, '256x768 256x896 256x1024 384x640 512x512', 9],
  ])('lists the buckets of %s within %i to %i by %i', (resolution, minimum, maximum, steps, upright, count) => {
    const expected = upright.split(' ').flatMap((each) => [each, transposed(each)])
    const buckets = bucketResolutions({ resolution: size(resolution), minimum, maximum, steps }).map(text)
    expect(buckets).toHaveLength(count)
    expect(new Set(buckets)).toEqual(new Set(expected))
    const inOrder = [...buckets].sort((a, b) => size(a).width - size(b).width || size(a).height - size(b).height)
    expect(buckets).toEqual(inOrder)
  })

  it('does not bound heights from below', () => {
    expect(bucketResolutions({ resolution: size('512x512'), maximum: 2048 }).map(text)).toContain('128x2048')
  })

  it('keeps the square bucket even outside the limits', () => {
    expect(bucketResolutions({ resolution: size('512x512'), minimum: 640, maximum: 704 }).map(text)).toContain(
      '512x512',
    )
  })

  it('rejects limits that give buckets without width or height', () => {
    expect(() => bucketResolutions({ resolution: size('512x512'), minimum: 32 })).toThrow(
      'minimum must be at least steps (64)',
    )
    expect(() => bucketResolutions({ resolution: size('512x512'), maximum: 8192 })).toThrow(
      'maximum must be small enough',
    )
  })
})

describe('chooseBucket', () => {
  const buckets = bucketResolutions({ resolution: size('512x512') })

  it.each([
    ['1920x1080', '640x384', '683x384', [21, 0], -0.1111],
    ['1080x1920', '384x640', '384x683', [0, 21], 0.0375],
    ['800x1200', '384x640', '427x640', [21, 0], -0.0667],
    ['300x400', '448x576', '448x597', [0, 10], 0.0278],
    ['512x640', '448x576', '461x576', [6, 0], -0.0222],
    ['3000x500', '1024x256', '1536x256', [256, 0], -2],
    ['320x320', '512x512', '512x512', [0, 0], 0],
    ['1007x1000', '512x512', '516x512', [2, 0], -0.007],
  ])('puts %s into %s, resized to %s', (image, bucket, resized, offset, aspectError) => {
    const choice = chooseBucket(size(image), buckets)
    expect([text(choice.bucket), text(choice.resized)]).toEqual([bucket, resized])
    expect(choice.aspectError).toBeCloseTo(aspectError, 4)
    const plan = planCrop(size(image), choice)
    expect([plan.left, plan.top]).toEqual(offset)
  })

  it('takes a bucket of exactly the size before one of equal aspect ratio', () => {
    const sizes = ['256x256', '512x512'].map(size)
    expect(text(chooseBucket(size('512x512'), sizes).bucket)).toBe('512x512')
    expect(text(chooseBucket(size('300x300'), sizes).bucket)).toBe('256x256')
  })

  it('always covers the bucket', () => {
    for (let width = 60; width < 1500; width += 97) {
      for (let height = 60; height < 1500; height += 89) {
        const { bucket, resized } = chooseBucket({ width, height }, buckets)
        expect(resized.width >= bucket.width && resized.height >= bucket.height).toBe(true)
        expect(resized.width === bucket.width || resized.height === bucket.height).toBe(true)
      }
    }
  })
})

describe('chooseBucketNoUpscale', () => {
  it.each([
    ['1920x1080', '683x384', '640x384'],
    ['800x1200', '384x576', '384x576'],
    ['300x400', '300x400', '256x384'],
    ['500x500', '500x500', '448x448'],
    ['640x400', '640x400', '640x384'],
    ['513x513', '512x512', '512x512'],
    ['60x300', '60x300', '0x256'],
  ])('shrinks %s to %s for bucket %s', (image, resized, bucket) => {
    const choice = chooseBucketNoUpscale(size(image), size('512x512'))
    expect([text(choice.resized), text(choice.bucket)]).toEqual([resized, bucket])
  })
})
