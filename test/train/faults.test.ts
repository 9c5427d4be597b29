import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { openSafetensors } from '../../lib/io/safetensors.ts'
import { memory, releaseCached, setMemoryLimit } from '../../lib/tensor/runtime.ts'
import type { TrainEvent } from '../../lib/train/events.ts'
import { TimeLeft } from '../../lib/train/logs/timeLeft.ts'
import { readManifest } from '../../lib/train/state/manifest.ts'
import { trainNetwork } from '../../lib/train/trainings.ts'
import { DataError, IoError, OutOfMemoryError } from '../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { fillingDisk } from '../support/faultyDisk.ts'
import { type FileContent, makeFolder } from '../support/pictures.ts'
import {
  eventsOf,
  fourPictures,
  makeTinyData,
  only,
  saveTinyModel,
  tensorBytes,
  tinyTraining,
} from '../support/tinyTraining.ts'

/** Of the resolution itself: pictures that are not cached are not resized. */
const squares = Object.fromEntries(
  Object.entries(fourPictures).map(([name, content]): [string, FileContent] => [
    name,
    typeof content === 'string' ? content : [64, 64],
  ]),
)

let model: string
let data: string
let baseline: number
beforeAll(async () => {
  model = await saveTinyModel()
  data = await makeTinyData({ pictures: squares })
})
beforeEach(async () => {
  baseline = await baselineBuffers()
})
afterEach(async () => {
  setMemoryLimit(0)
  vi.restoreAllMocks()
  expect(await liveBuffers(), 'buffers left by the run').toBe(baseline)
})

interface Outcome {
  readonly events: readonly TrainEvent[]
  readonly error: unknown
}

async function outcomeOf(
  training: AsyncIterable<TrainEvent>,
  onEvent: (event: TrainEvent) => unknown,
): Promise<Outcome> {
  const events: TrainEvent[] = []
  try {
    for await (const event of training) {
      events.push(event)
      await onEvent(event)
    }
    return { events, error: null }
  } catch (error) {
    return { events, error }
  }
}

describe('a disk that is full', () => {
  it('while a state is saved leaves the states before it whole, and no part of the new one', async () => {
    const config = await tinyTraining(model, data, {
      training: { maxSteps: 4 },
      output: { saveEverySteps: 1 },
      state: { save: true },
    })
    const disk = fillingDisk()
    let weights = 0
    const { error } = await outcomeOf(trainNetwork(config, { fileSystem: disk.fileSystem }), (event) => {
      // The second file of weights fits, the state after it does not.
      if (event.type === 'save' && ++weights === 2) disk.fill(100_000)
    })
    expect(error).toBeInstanceOf(IoError)
    expect((error as IoError).message).toMatch(/frog-step00000002-state\/\w+\.safetensors: cannot write .*ENOSPC/)
    const { folder } = config.output
    expect((await readdir(folder)).toSorted()).toEqual([
      'frog-step00000001-state',
      'frog-step00000001.safetensors',
      'frog-step00000002.safetensors',
    ])
    const state = join(folder, 'frog-step00000001-state')
    expect((await readManifest(state)).position.step).toBe(1)
    await (await openSafetensors(join(state, 'optimizer.safetensors'))).close()
  })

  it('while a preview is drawn names the picture; weights saved before stay', async () => {
    const prompts = await makeFolder({ 'prompts.txt': 'sks frog --w 64 --h 64 --s 1 --d 1\n' })
    const config = await tinyTraining(model, data, {
      output: { saveEverySteps: 1 },
      preview: { promptFile: join(prompts, 'prompts.txt'), everySteps: 1 },
    })
    const disk = fillingDisk()
    const { error } = await outcomeOf(trainNetwork(config, { fileSystem: disk.fileSystem }), (event) => {
      if (event.type === 'save') disk.fill(10)
    })
    expect(error).toBeInstanceOf(IoError)
    expect((error as IoError).path).toMatch(/sample\/frog_.*\.png$/)
    expect((await readdir(config.output.folder)).toSorted()).toEqual(['frog-step00000001.safetensors', 'sample'])
    expect(await readdir(join(config.output.folder, 'sample'))).toEqual([])
  })
})

describe('memory that runs out', () => {
  it('in a step is an error that names the op; everything is freed, and the next training runs', async () => {
    const config = await tinyTraining(model, data, { training: { maxSteps: 3 } })
    const { error, events } = await outcomeOf(trainNetwork(config), (event) => {
      if (event.type !== 'step') return
      releaseCached()
      setMemoryLimit(memory().liveBytes + 2 ** 20)
    })
    expect(error).toBeInstanceOf(OutOfMemoryError)
    const { message } = error as Error
    expect(message).toMatch(/^\w+: out of memory: needed \d+ bytes/)
    expect(message).toMatch(
      /expected to take about 0\.\d\d GiB \((.+ 0\.\d\d GiB){3}\); its tensors had taken 0\.\d\d GiB at most/,
    )
    expect(message).toContain(
      'Less is taken with --gradient_checkpointing, --mixed_precision bf16, a batch_size below 2,',
    )
    expect(only(events, 'step')).toHaveLength(1)
    expect(await liveBuffers()).toBe(baseline)
    expect(await readdir(config.output.folder)).toEqual([])
    setMemoryLimit(0)
    expect(only(await eventsOf(trainNetwork(config)), 'step')).toHaveLength(3)
  })
})

describe("a loss of one's own that throws", () => {
  it('ends the training with its error, and leaves nothing of the step', async () => {
    const broken = (): never => {
      throw new RangeError('no such loss')
    }
    const config = await tinyTraining(model, data, { training: { maxSteps: 3 } })
    const { error } = await outcomeOf(trainNetwork({ ...config, loss: broken }), () => undefined)
    expect(error).toEqual(new RangeError('no such loss'))
  })
})

describe('a data set that vanishes', () => {
  it('between two epochs is an error that names a picture; what was written stays', async () => {
    const images = await makeFolder(squares)
    const toml = `[[datasets]]\nresolution = 64\nbatch_size = 1\n[[datasets.subsets]]\nimage_dir = ${JSON.stringify(images)}\nclass_tokens = "frog"\n`
    const config = await tinyTraining(model, join(await makeFolder({ 'data.toml': toml }), 'data.toml'), {
      data: { cacheLatents: false },
      training: { maxSteps: 12 },
      output: { saveEveryEpochs: 1 },
    })
    const { error, events } = await outcomeOf(trainNetwork(config), async (event) => {
      if (event.type === 'epochEnd') await rm(images, { recursive: true })
    })
    expect(error).toBeInstanceOf(DataError)
    expect((error as DataError).path).toMatch(/[abcd]\.(png|jpg|webp|bmp)$/)
    expect((error as DataError).path).toContain(images)
    expect(only(events, 'step')).toHaveLength(4)
    expect(await readdir(config.output.folder)).toEqual(['frog-000001.safetensors'])
  })
})

describe('a clock that jumps', () => {
  it('changes neither what is learned, nor names, nor the time left', async () => {
    const overrides = { training: { maxSteps: 4 }, output: { saveEverySteps: 2 } }
    const still = only(await eventsOf(trainNetwork(await tinyTraining(model, data, overrides))), 'end')[0]!.path!
    const config = await tinyTraining(model, data, overrides)
    const timeLeft = new TimeLeft()
    const estimates: (number | null)[] = []
    const jumps = [-1e12, 1e12, 0, -5e11]
    const { error, events } = await outcomeOf(trainNetwork(config), (event) => {
      timeLeft.add(event)
      if (event.type !== 'step') return
      estimates.push(timeLeft.seconds)
      const now = jumps[event.step - 1]!
      vi.spyOn(Date, 'now').mockReturnValue(1.7e12 + now)
    })
    expect(error).toBeNull()
    for (const { stepsPerSecond } of only(events, 'step')) expect(stepsPerSecond).toBeGreaterThan(0)
    expect(estimates.filter((seconds) => seconds !== null && !(seconds >= 0 && seconds < 3600))).toEqual([])
    expect((await readdir(config.output.folder)).toSorted()).toEqual([
      'frog-step00000002.safetensors',
      'frog-step00000004.safetensors',
      'frog.safetensors',
    ])
    expect((await tensorBytes(only(events, 'end')[0]!.path!)).equals(await tensorBytes(still))).toBe(true)
  })
})
