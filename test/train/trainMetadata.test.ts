import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { trainNetwork } from '../../lib/train/trainings.ts'
import { makeFolder } from '../support/pictures.ts'
import { saveTinyModel, tinyTraining } from '../support/tinyTraining.ts'

it('trains on the pictures of a metadata file, the same twice, with masks and a warm-up of tags', async () => {
  const model = await saveTinyModel()
  const entries = { a: { caption: 'a frog', tags: 'x, y' }, b: { caption: 'two frogs' } }
  const imageDir = await makeFolder({ 'a.png': [80, 64], 'b.png': [64, 64], 'meta.json': JSON.stringify(entries) })
  const fallbacks = {
    resolution: 64,
    enable_bucket: true,
    min_bucket_reso: 64,
    max_bucket_reso: 64,
    random_crop: true,
    flip_aug: true,
    alpha_mask: true,
    token_warmup_step: 0.5,
  } as const
  const losses = async (workers: number): Promise<number[]> => {
    const source = { metadataFile: join(imageDir, 'meta.json'), imageDir }
    const config = await tinyTraining(model, '', { data: { source, fallbacks, cacheLatents: false, workers } })
    const found: number[] = []
    for await (const event of trainNetwork(config)) if (event.type === 'step') found.push(event.loss)
    expect(await readdir(config.output.folder)).toContain('frog.safetensors')
    return found
  }
  const first = await losses(1)
  expect(first).toHaveLength(2)
  expect(first.every(Number.isFinite)).toBe(true)
  expect(await losses(2)).toEqual(first)
})
