import * as nodeFileSystem from 'node:fs/promises'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { readKohyaLora, writeKohyaLora } from '../../lib/networks/kohyaLora.ts'
import type { TrainEvent } from '../../lib/train/events.ts'
import { trainNetwork } from '../../lib/train/trainings.ts'
import { CheckpointError, DataError, IoError } from '../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { diskWithRoomFor, fillingDisk } from '../support/faultyDisk.ts'
import { addFiles, encodePicture, makeFolder } from '../support/pictures.ts'
import { eventsOf, makeTinyData, only, saveTinyModel, tinyTraining } from '../support/tinyTraining.ts'

let model: string
let data: string
let baseline: number
beforeAll(async () => {
  model = await saveTinyModel()
  data = await makeTinyData()
})
beforeEach(async () => {
  baseline = await baselineBuffers()
})
afterEach(async () => {
  expect(await liveBuffers(), 'buffers left by the run').toBe(baseline)
})

/** Trains and aborts when `when` says so. */
async function trainUntil(
  when: (event: TrainEvent) => boolean,
): Promise<{ readonly events: TrainEvent[]; readonly folder: string }> {
  const config = await tinyTraining(model, data, { training: { maxSteps: 6 } })
  const controller = new AbortController()
  const events: TrainEvent[] = []
  for await (const event of trainNetwork(config, { signal: controller.signal })) {
    events.push(event)
    if (when(event)) controller.abort()
  }
  return { events, folder: config.output.folder }
}

describe('an aborted training', () => {
  it('saves after the step under way and says that it was interrupted', async () => {
    const { events, folder } = await trainUntil((event) => event.type === 'step' && event.step === 3)
    expect(only(events, 'step')).toHaveLength(3)
    const path = join(folder, 'frog.safetensors')
    expect(events.at(-1)).toEqual({ type: 'end', reason: 'interrupted', step: 3, path })
    expect((await readdir(folder)).sort()).toEqual(['frog-state', 'frog.safetensors'])
    const { metadata, modules } = await readKohyaLora(path)
    expect(metadata.get('ss_steps')).toBe('3')
    expect(modules.size).toBeGreaterThan(0)
  })

  it('writes nothing when no step was finished', async () => {
    const { events, folder } = await trainUntil((event) => event.type === 'cache')
    expect(only(events, 'cache')).toHaveLength(1)
    expect(events.at(-1)).toEqual({ type: 'end', reason: 'interrupted', step: 0, path: null })
    expect(await readdir(folder)).toEqual([])
  })

  it('frees everything when its loop is left instead', async () => {
    const config = await tinyTraining(model, data, { training: { maxSteps: 6 } })
    for await (const event of trainNetwork(config)) if (event.type === 'step') break
    expect(await readdir(config.output.folder)).toEqual([])
  })
})

describe('a training that is aborted while it draws', () => {
  const line = 'sks frog --w 64 --h 64 --s 20 --d 1\n'

  it('leaves out the pictures still to be drawn, saves, and ends', async () => {
    const prompts = await makeFolder({ 'prompts.txt': line.repeat(3) })
    const preview = { promptFile: join(prompts, 'prompts.txt'), everySteps: 1 }
    const config = await tinyTraining(model, data, { training: { maxSteps: 6 }, preview })
    const controller = new AbortController()
    const events: TrainEvent[] = []
    for await (const event of trainNetwork(config, { signal: controller.signal })) {
      events.push(event)
      if (event.type === 'preview') controller.abort()
    }
    const path = join(config.output.folder, 'frog.safetensors')
    expect(only(events, 'preview')).toHaveLength(1)
    expect(only(events, 'step')).toHaveLength(1)
    expect(events.at(-1)).toEqual({ type: 'end', reason: 'interrupted', step: 1, path })
    expect((await readKohyaLora(path)).modules.size).toBeGreaterThan(0)
  })

  it('gives up the picture under way after its denoising step', async () => {
    const prompts = await makeFolder({ 'prompts.txt': 'sks frog --w 64 --h 64 --s 900 --d 1\n' })
    const preview = { promptFile: join(prompts, 'prompts.txt'), everySteps: 1 }
    const config = await tinyTraining(model, data, { training: { maxSteps: 6 }, preview })
    const controller = new AbortController()
    const events: TrainEvent[] = []
    let abortedAt = 0
    for await (const event of trainNetwork(config, { signal: controller.signal })) {
      events.push(event)
      if (event.type === 'step' && abortedAt === 0)
        setTimeout(() => {
          abortedAt = performance.now()
          controller.abort()
        }, 200)
    }
    // All 900 steps would take many times as long.
    expect(performance.now() - abortedAt).toBeLessThan(5000)
    expect(only(events, 'preview')).toEqual([])
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'interrupted', step: 1 })
    expect(await readdir(config.output.folder)).not.toContain('sample')
  })
})

describe('a training that fails', () => {
  it('frees everything when a picture breaks between two micro-batches', async () => {
    const whole = await encodePicture('.png', 64, 64)
    const images = await makeFolder({
      'a.png': whole,
      'b.png': Buffer.from(whole).fill(0, whole.length >> 1, whole.length - 64),
    })
    const file = join(await makeFolder(), 'data.toml')
    await addFiles(join(file, '..'), {
      'data.toml': `[[datasets]]\nresolution = 64\nbatch_size = 1\n[[datasets.subsets]]\nimage_dir = "${images}"\nclass_tokens = "frog"\n`,
    })
    for (const cacheLatents of [true, false]) {
      const config = await tinyTraining(model, file, {
        data: { cacheLatents },
        training: { gradientAccumulationSteps: 2 },
      })
      const error = await eventsOf(trainNetwork(config)).catch((error: unknown) => error)
      expect(error).toBeInstanceOf(DataError)
      expect((error as DataError).path).toBe(join(images, 'b.png'))
      expect(await readdir(config.output.folder)).toEqual([])
    }
  })

  it('frees what was loaded when the last part of the model is damaged', async () => {
    const damaged = await saveTinyModel()
    const weights = join(damaged, 'vae', 'diffusion_pytorch_model.safetensors')
    const bytes = await readFile(weights)
    const header = bytes.toString('latin1').replace('"decoder.conv_out.bias"', '"decoder.conv_out.bia_"')
    await nodeFileSystem.writeFile(weights, header, 'latin1')
    const config = await tinyTraining(damaged, data)
    await expect(eventsOf(trainNetwork(config))).rejects.toThrow(CheckpointError)
  })

  it.each([0, 5000])('keeps the last good file when the disk is full %s bytes into the second save', async (room) => {
    const config = await tinyTraining(model, data, {
      output: { saveEveryEpochs: 1 },
      training: { maxSteps: 0, maxEpochs: 3 },
    })
    const disk = fillingDisk()
    const events: TrainEvent[] = []
    const run = async (): Promise<void> => {
      for await (const event of trainNetwork(config, { fileSystem: disk.fileSystem })) {
        events.push(event)
        if (event.type === 'save') disk.fill(room)
      }
    }
    const error = await run().catch((error: unknown) => error)
    expect(error).toBeInstanceOf(IoError)
    expect((error as IoError).path).toBe(join(config.output.folder, 'frog-000002.safetensors'))
    expect((error as IoError).message).toContain('the disk is full')
    const saves = only(events, 'save')
    expect(saves.map(({ path }) => path)).toEqual([join(config.output.folder, 'frog-000001.safetensors')])
    expect((await readKohyaLora(saves[0]!.path)).modules.size).toBeGreaterThan(0)
    expect(await readdir(config.output.folder)).toEqual(['frog-000001.safetensors'])
  })

  it('keeps the last good file when the disk fills up while the same name is written again', async () => {
    const config = await tinyTraining(model, data, { training: { maxSteps: 1 } })
    const events = await eventsOf(trainNetwork(config))
    const path = only(events, 'end')[0]!.path!
    const before = await readFile(path)
    const { modules, metadata } = await readKohyaLora(path)
    for (const room of [0, 100, before.byteLength - 1]) {
      const failure = writeKohyaLora(path, modules.values(), {
        metadata: Object.fromEntries(metadata),
        fileSystem: diskWithRoomFor(room),
      })
      await expect(failure).rejects.toThrow(IoError)
      await expect(failure).rejects.toThrow(/ENOSPC/)
      expect((await readFile(path)).equals(before)).toBe(true)
      expect(await readdir(config.output.folder)).toEqual(['frog.safetensors'])
    }
  })
})
