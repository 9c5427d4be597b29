import { join } from 'node:path'
import { expect, it } from 'vitest'
import { chooseBucket } from '../../lib/data/buckets.ts'
import { planCrop } from '../../lib/data/cropPlan.ts'
import { decodeImage } from '../../lib/data/image.ts'
import { loadPicture, resizeMethod } from '../../lib/data/loadPicture.ts'
import { loadedTensor, pictureTensor } from '../../lib/train/inputs/latents.ts'
import { makeFolder } from '../support/pictures.ts'

it.each([
  ['auto', [150, 101], true],
  ['box', [40, 90], false],
  ['area', [64, 48], true],
] as const)('is a loaded picture of the same plan: %s, %j', async (interpolation, [width, height], flip) => {
  const path = join(await makeFolder({ 'a.png': [width, height] }), 'a.png')
  const plan = planCrop({ width, height }, chooseBucket({ width, height }, [{ width: 64, height: 48 }]))
  const whole = pictureTensor(await decodeImage(path), plan, flip, { interpolation })
  const loaded = await loadPicture(path, plan, { method: resizeMethod(interpolation, plan) })
  const window = loadedTensor(loaded, { flip, color: undefined })
  expect(whole.shape).toEqual([1, 48, 64, 3])
  expect(await whole.read()).toEqual(await window.read())
})
