import { describe, expect, it } from 'vitest'
import { bucketResolutions, chooseBucket, chooseBucketNoUpscale } from '../../lib/data/buckets.ts'
import { loadOracle, type Pair, sizeOf } from '../support/dataOracle.ts'

type Row = readonly [width: number, height: number, ...rest: readonly (number | null)[]]

interface BucketFixture {
  readonly lists: readonly {
    readonly resolution: Pair
    readonly minimum: number
    readonly maximum: number
    readonly steps: number
    readonly buckets: readonly Pair[]
  }[]
  readonly choices: readonly { readonly list: number; readonly noUpscale: boolean; readonly rows: readonly Row[] }[]
}

const { lists, choices } = loadOracle<BucketFixture>('buckets')

describe('buckets against sd-scripts', () => {
  it.each(lists)('are the same for $resolution within $minimum to $maximum by $steps', (list) => {
    const found = bucketResolutions({ ...list, resolution: sizeOf(list.resolution) })
    expect(found.map(({ width, height }) => [width, height])).toEqual(list.buckets)
  })

  it.each(choices)('are chosen alike from list $list, without upscaling: $noUpscale', ({ list, noUpscale, rows }) => {
    const { resolution, ...limits } = lists[list]!
    const target = sizeOf(resolution)
    const buckets = bucketResolutions({ ...limits, resolution: target })
    expect(rows.length).toBeGreaterThan(180)
    for (const [width, height, ...expected] of rows) {
      const image = { width, height }
      const { bucket, resized, aspectError } = noUpscale
        ? chooseBucketNoUpscale(image, target, limits.steps)
        : chooseBucket(image, buckets)
      // Where the reference divides by zero, the size 0 is what the caller has to refuse.
      if (expected[0] === null) expect(Math.min(bucket.width, bucket.height), `${width}x${height}`).toBe(0)
      else {
        const row = [bucket.width, bucket.height, resized.width, resized.height, aspectError]
        expect(row, `${width}x${height}`).toEqual(expected)
      }
    }
  })
})
