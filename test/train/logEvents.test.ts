import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { TrainEvent } from '../../lib/train/events.ts'
import { logEvents } from '../../lib/train/logEvents.ts'
import * as tensorboard from '../../lib/train/tensorboard.ts'
import { fakeEvents } from '../cli/fakeTraining.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noisewright-log-'))
})
afterEach(async () => {
  vi.restoreAllMocks()
  await rm(folder, { recursive: true })
})

async function collect(events: AsyncIterable<TrainEvent>): Promise<TrainEvent[]> {
  const all: TrainEvent[] = []
  for await (const event of events) all.push(event)
  return all
}

const now = new Date(2024, 0, 2, 3, 4, 5)

describe('logEvents', () => {
  it('writes the losses and rates of steps and epochs, and passes every event on', async () => {
    const written: [number, Readonly<Record<string, number>>][] = []
    const folders: string[] = []
    let closed = 0
    vi.spyOn(tensorboard, 'openEventWriter').mockImplementation(async (path) => {
      folders.push(path)
      return {
        path,
        scalars: async (step, values) => {
          written.push([step, values])
        },
        close: async () => {
          closed++
        },
      }
    })
    const logging = { folder, prefix: 'run-', trackerName: 'network_train' }
    expect(await collect(logEvents(fakeEvents(), logging, { now }))).toEqual(await collect(fakeEvents()))
    expect(folders).toEqual([join(folder, 'run-20240102030405', 'network_train')])
    const rates = { 'lr/textencoder': 5e-5, 'lr/unet': 1e-4 }
    expect(written).toEqual([
      [1, { 'loss/current': 1, 'loss/average': 2, ...rates }],
      [2, { 'loss/current': 1 / 2, 'loss/average': 1, ...rates }],
      [1, { 'loss/epoch': 1 }],
      [3, { 'loss/current': 1 / 3, 'loss/average': 2 / 3, ...rates }],
      [4, { 'loss/current': 1 / 4, 'loss/average': 1 / 2, ...rates }],
      [2, { 'loss/epoch': 1 / 2 }],
    ])
    expect(closed).toBe(1)
  })

  it('makes one event file that holds the tags', async () => {
    await collect(logEvents(fakeEvents(), { folder, prefix: '', trackerName: 't' }, { now }))
    const files = await readdir(join(folder, '20240102030405', 't'))
    expect(files).toEqual([expect.stringMatching(/^events\.out\.tfevents\./)])
  })

  it('writes nothing without a folder', async () => {
    const open = vi.spyOn(tensorboard, 'openEventWriter')
    await collect(logEvents(fakeEvents(), { folder: null, prefix: '', trackerName: 't' }))
    expect(open).not.toHaveBeenCalled()
  })

  it('makes no file for a training that fails before it starts', async () => {
    const failing = async function* (): AsyncGenerator<TrainEvent> {
      yield { type: 'warning', message: 'w' }
      throw new Error('no pictures')
    }
    await expect(collect(logEvents(failing(), { folder, prefix: '', trackerName: 't' }))).rejects.toThrow('no pictures')
    expect(await readdir(folder)).toEqual([])
  })

  it('ends the training when its reader leaves early', async () => {
    let ended = false
    const events = async function* (): AsyncGenerator<TrainEvent> {
      try {
        yield* fakeEvents()
      } finally {
        ended = true
      }
    }
    for await (const event of logEvents(events(), { folder, prefix: '', trackerName: 't' })) {
      if (event.type === 'step') break
    }
    expect(ended).toBe(true)
  })
})
