import * as fs from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openEventWriter } from '../../../lib/train/logs/tensorboard.ts'
import { DisposedError, IoError } from '../../../lib/util/errors.ts'
import { readEvents } from '../../support/eventFile.ts'

let folder: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'noisewright-events-'))
})
afterEach(async () => {
  await fs.rm(folder, { recursive: true, force: true })
})

describe('openEventWriter', () => {
  it('writes the version record and scalars that decode again', async () => {
    let time = 1700000000.25
    const writer = await openEventWriter(join(folder, 'run', 'network_train'), { now: () => time++ })
    await writer.scalars(1, { 'loss/current': 0.5, 'lr/unet': 1e-4 })
    await writer.scalars(300, { 'loss/épochè': 0.25 })
    await writer.close()
    const events = await readEvents(writer.path)
    expect(events).toEqual([
      { wallTime: expect.any(Number), step: undefined, version: 'brain.Event:2', scalars: [], images: [] },
      {
        wallTime: expect.any(Number),
        step: 1n,
        version: undefined,
        scalars: [
          ['loss/current', 0.5],
          ['lr/unet', Math.fround(1e-4)],
        ],
        images: [],
      },
      { wallTime: expect.any(Number), step: 300n, version: undefined, scalars: [['loss/épochè', 0.25]], images: [] },
    ])
    expect(events[2]!.wallTime - events[1]!.wallTime).toBe(1)
  })

  it('names the file after time, host and process, and never twice the same', async () => {
    const now = (): number => 1700000000.75
    const first = await openEventWriter(folder, { now })
    const second = await openEventWriter(folder, { now })
    const start = `events.out.tfevents.1700000000.${hostname()}.${process.pid}.`
    expect(basename(first.path).startsWith(start)).toBe(true)
    expect(basename(first.path).slice(start.length)).toMatch(/^\d+$/)
    expect(second.path).not.toBe(first.path)
    await first.close()
    await second.close()
  })

  it('has every record in the file as soon as its call resolves', async () => {
    const writer = await openEventWriter(folder)
    for (let step = 0; step < 3; step++) {
      await writer.scalars(step, { loss: step })
      expect(await readEvents(writer.path)).toHaveLength(step + 2)
    }
    await writer.close()
  })

  it('keeps the order of calls that are not awaited, and finishes them on close', async () => {
    const writer = await openEventWriter(folder)
    const calls = Array.from({ length: 50 }, (_, step) => writer.scalars(step, { loss: 1 / (step + 1) }))
    await writer.close()
    await Promise.all(calls)
    const steps = (await readEvents(writer.path)).slice(1).map(({ step }) => Number(step))
    expect(steps).toEqual(Array.from({ length: 50 }, (_, i) => i))
  })

  it('writes values beyond float32 and NaN as the nearest thing a plot can show', async () => {
    const writer = await openEventWriter(folder)
    await writer.scalars(-1, { large: 1e300, nan: Number.NaN })
    await writer.close()
    const [, event] = await readEvents(writer.path)
    expect(event).toMatchObject({
      step: -1n,
      scalars: [
        ['large', Infinity],
        ['nan', Number.NaN],
      ],
    })
  })

  it('writes pictures that decode again', async () => {
    const writer = await openEventWriter(folder)
    const png = Uint8Array.from({ length: 300 }, (_, i) => i)
    await writer.image(7, 'preview/0', { width: 640, height: 512, png })
    await writer.close()
    const [, event] = await readEvents(writer.path)
    expect(event).toMatchObject({ step: 7n, scalars: [] })
    expect(event!.images).toEqual([{ tag: 'preview/0', width: 640, height: 512, colorspace: 3, png: Buffer.from(png) }])
  })

  it('writes texts for the plugin that shows them', async () => {
    const writer = await openEventWriter(folder)
    await writer.text('config', '| seed | 7 |')
    await writer.close()
    const [, event] = await readEvents(writer.path)
    expect(event).toMatchObject({ step: 0n, scalars: [], images: [] })
    expect(event!.texts).toEqual([{ tag: 'config', plugin: 'text', dtype: 7, text: '| seed | 7 |' }])
  })

  it('refuses use after close and a folder that cannot be made', async () => {
    const writer = await openEventWriter(folder)
    await writer.close()
    await writer.close()
    await expect(writer.scalars(1, { loss: 1 })).rejects.toThrow(DisposedError)
    await expect(openEventWriter(join(writer.path, 'below a file'))).rejects.toThrow(IoError)
  })
})
