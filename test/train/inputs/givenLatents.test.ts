import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { writeLatentFile } from '../../../lib/data/latentFiles.ts'
import type { TrainEvent } from '../../../lib/train/events.ts'
import { trainNetwork } from '../../../lib/train/trainings.ts'
import { DataError } from '../../../lib/util/errors.ts'
import { makeFolder } from '../../support/pictures.ts'
import { saveTinyModel, tinyTraining } from '../../support/tinyTraining.ts'

/** Of a latent of 64 pixels. */
const side = 8

describe('latents that come with pictures', () => {
  let model: string
  beforeAll(async () => {
    model = await saveTinyModel()
  })

  it.each([true, false])(
    'that are of no use are all named before a training begins (caching %s)',
    async (cacheLatents) => {
      const sized = { caption: 'x', train_resolution: [64, 64] }
      const entries = JSON.stringify({ a: sized, b: sized, c: sized, d: sized })
      const folder = await makeFolder({ 'meta.json': entries, 'c.npz': 'text', 'c_flip.npz': 'text' })
      const write = (name: string, width: number): Promise<void> =>
        writeLatentFile(join(folder, name), { values: new Float32Array(side * width * 4), shape: [side, width, 4] })
      for (const name of ['a.npz', 'a_flip.npz', 'b_flip.npz', 'd.npz']) await write(name, side)
      for (const name of ['b.npz', 'd_flip.npz']) await write(name, side + 1)
      const data = join(folder, 'data.json')
      const subsets = [{ metadata_file: join(folder, 'meta.json'), image_dir: folder, flip_aug: true }]
      await writeFile(data, JSON.stringify({ datasets: [{ subsets }] }))

      const events: TrainEvent[] = []
      const run = async (): Promise<void> => {
        for await (const event of trainNetwork(await tinyTraining(model, data, { data: { cacheLatents } })))
          events.push(event)
      }
      const error = await run().catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(DataError)
      const lines = (error as DataError).message.split('\n')
      expect(lines.slice(0, -1).map((line) => line.slice(folder.length + 1).split(': ')[0])).toEqual([
        'b.npz',
        'c.npz',
        'c_flip.npz',
        'd_flip.npz',
      ])
      expect(lines[0]).toContain(
        `"arr_0" has the shape [4, ${side}, ${side + 1}], expected [4, ${side}, ${side}], since it was made for another training size: make it again`,
      )
      expect(lines[1]).toMatch(/; make it again with prepare-buckets-latents, or remove it$/)
      expect(lines[1]).toContain('expected a NumPy .npz archive')
      expect(events).toEqual([])
    },
  )
})
