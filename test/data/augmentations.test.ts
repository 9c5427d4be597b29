import { describe, expect, it } from 'vitest'
import { drawColorChange, gammaTable } from '../../lib/data/colorChange.ts'
import {
  type CropPlan,
  type CropRandom,
  cropRecord,
  planCrop,
  planRandomCrop,
  planRandomWindow,
  uncachedSizeProblem,
} from '../../lib/data/cropPlan.ts'
import { faceInName, planFaceCrop } from '../../lib/data/faceCrop.ts'
import { PhiloxStream } from '../../lib/util/philox.ts'
import { loadOracle, type Pair, sizeOf } from '../support/dataOracle.ts'
import { type Draw, ScriptedDraws } from '../support/scriptedDraws.ts'

interface CropCase {
  readonly draws: readonly Draw[]
  readonly resized: Pair
  readonly crop: Pair
  readonly error?: string
}

interface AugmentationFixture {
  readonly bucketed: readonly (CropCase & { readonly bucket: Pair })[]
  readonly uncached: readonly (CropCase & {
    readonly size: Pair
    readonly resolution: Pair
    readonly randomCrop: boolean
  })[]
  readonly faces: readonly (CropCase & {
    readonly size: Pair
    readonly resolution: Pair
    readonly face: readonly [number, number, number, number]
    readonly range: Pair
    readonly randomCrop: boolean
  })[]
  readonly colours: { readonly gamma: readonly { readonly gamma: number; readonly table: readonly number[] }[] }
}

const { bucketed, uncached, faces, colours } = loadOracle<AugmentationFixture>('augmentations')

function expectPlan(plan: CropPlan | undefined, { resized, crop }: CropCase): void {
  expect(plan).toMatchObject({ resized: sizeOf(resized), left: crop[0], top: crop[1] })
}

describe('crops against sd-scripts', () => {
  it.each(bucketed)('agree in a bucket: $resized in $bucket', (each) => {
    const random = new ScriptedDraws(each.draws)
    const choice = { bucket: sizeOf(each.bucket), resized: sizeOf(each.resized), aspectError: 0 }
    expectPlan(planRandomCrop({ width: 1000, height: 1000 }, choice, random), each)
    expect(random.left).toBe(0)
  })

  it.each(uncached)('agree without buckets: $size in $resolution, random $randomCrop', (each) => {
    const [size, resolution] = [sizeOf(each.size), sizeOf(each.resolution)]
    const problem = uncachedSizeProblem(size, resolution, each)
    expect(problem === undefined).toBe(each.error === undefined)
    if (problem !== undefined) {
      expect(problem).toContain('Set enable_bucket')
      return
    }
    const random = new ScriptedDraws(each.draws)
    expectPlan(planRandomWindow(size, resolution, random), each)
    expect(random.left).toBe(0)
  })

  it.each(faces)('agree around the face $face of $size in $resolution, $range, random $randomCrop', (each) => {
    const face = faceInName(`a/name_${each.face.join('_')}.png`)
    // A face at the left edge stands for none: then the picture is cut anywhere.
    if (face === undefined) {
      expect(each.face[0]).toBe(0)
      return
    }
    const random = new ScriptedDraws(each.draws)
    const plan = planFaceCrop(sizeOf(each.size), sizeOf(each.resolution), face, each, random)
    if (each.error === undefined) expectPlan(plan, each)
    else expect(plan).toBeUndefined()
    expect(random.left).toBe(0)
  })
})

it.each([
  ['x/anna_0310_0212_0096_0090.png', { x: 310, y: 212, width: 96, height: 90 }],
  ['a_b_1_2_3_4.jpg', { x: 1, y: 2, width: 3, height: 4 }],
  ['1_2_3_4.png', undefined],
  ['my_nice_holiday_by_sea.png', undefined],
  ['a_5_6_0_0.png', undefined],
  ['a_0_6_5_5.png', undefined],
])('finds the face in %s', (path, face) => {
  expect(faceInName(path)).toEqual(face)
})

describe('cropRecord', () => {
  const plan = (source: Pair, target: Pair): CropPlan =>
    planCrop(sizeOf(source), { bucket: sizeOf(target), resized: sizeOf(target), aspectError: 0 })

  it('keeps the size of the picture and its edges in the bucket', () => {
    // 3:2 inside 640x384 (5:3): 576x384, 32 pixels free on each side.
    expect(cropRecord(plan([1200, 800], [640, 384]), false)).toEqual({
      originalSize: [1200, 800],
      cropLtrb: [32, 0, 608, 384],
    })
    expect(cropRecord(plan([800, 1600], [512, 512]), false)).toEqual({
      originalSize: [800, 1600],
      cropLtrb: [128, 0, 384, 512],
    })
    expect(cropRecord(plan([1600, 800], [512, 512]), false).cropLtrb).toEqual([0, 128, 512, 384])
  })

  it('puts the other edge left in a mirrored picture', () => {
    const { cropLtrb } = cropRecord(plan([1000, 801], [640, 384]), false)
    expect(cropRecord(plan([1000, 801], [640, 384]), true).cropLtrb).toEqual([640 - cropLtrb[2], ...cropLtrb.slice(1)])
  })
})

describe('drawColorChange', () => {
  it('changes hue or brightness in a third of the uses', () => {
    const changes = Array.from({ length: 6000 }, (_, i) => drawColorChange(new PhiloxStream(3, 'color', i)))
    const hues = changes.flatMap((change) => (change?.kind === 'hue' ? [change.shift] : []))
    const gammas = changes.flatMap((change) => (change?.kind === 'gamma' ? [change.exponent] : []))
    // Four standard deviations of a binomial count.
    const [mean, limit] = [6000 * 0.165, 4 * Math.sqrt(6000 * 0.165 * 0.835)]
    expect(Math.abs(hues.length - mean)).toBeLessThan(limit)
    expect(Math.abs(gammas.length - mean)).toBeLessThan(limit)
    expect(Math.min(...hues)).toBeGreaterThanOrEqual(-8)
    expect(Math.max(...hues)).toBeLessThan(8)
    expect(Math.min(...hues)).toBeLessThan(-7.5)
    expect(Math.max(...hues)).toBeGreaterThan(7.5)
    expect(Math.min(...gammas)).toBeGreaterThanOrEqual(0.95)
    expect(Math.max(...gammas)).toBeLessThan(1.05)
    expect(Math.max(...gammas)).toBeGreaterThan(1.045)
  })

  it.each(colours.gamma)('has the table of albumentations for $gamma', ({ gamma, table }) => {
    expect(Array.from(gammaTable(gamma))).toEqual(table)
  })
})

it('draws nothing for a picture that fits', () => {
  const random: CropRandom = new ScriptedDraws([])
  const size = { width: 64, height: 64 }
  expect(planRandomWindow(size, size, random)).toMatchObject({ left: 0, top: 0 })
})
