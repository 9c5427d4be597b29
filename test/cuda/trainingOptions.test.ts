/** What else makes tensors in a training, on the emulated GPU: each run has several options, and the loss of the CPU. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { DeviceName } from '../../lib/tensor/tensor.ts'
import type { TrainEvent } from '../../lib/train/events.ts'
import { trainNetwork, trainTextualInversion } from '../../lib/train/trainings.ts'
import { dwarf } from '../support/dwarfModel.ts'
import { canEmulate } from '../support/emulatedGpu.ts'
import { makeFolder } from '../support/pictures.ts'
import {
  eventsOf,
  makeTinyData,
  only,
  saveTinyModel,
  type TinyOverrides,
  tinyTraining,
} from '../support/tinyTraining.ts'
import { tinyInversion } from '../support/tinyTrainings.ts'

let model: string
let data: string

/** The losses of two steps by either device, and the events of the GPU's. */
async function onBoth(run: (device: DeviceName) => Promise<AsyncIterable<TrainEvent>>) {
  const [cpu, cuda] = [await eventsOf(await run('cpu')), await eventsOf(await run('cuda'))]
  const losses = (events: readonly TrainEvent[]): number[] => only(events, 'step').map(({ loss }) => loss)
  return { events: cuda, expected: losses(cpu), actual: losses(cuda) }
}

function expectLosses(actual: readonly number[], expected: readonly number[], tolerance: number): void {
  expect(actual).toHaveLength(expected.length)
  actual.forEach((loss, i) => {
    expect(Math.abs(loss / expected[i]! - 1), `step ${i + 1}`).toBeLessThan(tolerance)
  })
}

describe.runIf(canEmulate)('a training on the GPU', () => {
  beforeAll(async () => {
    model = await saveTinyModel(dwarf)
    data = await makeTinyData({
      pictures: { 'a.png': [64, 64], 'a.txt': 'sks frog' },
      batchSize: 1,
      subset: 'alpha_mask = true\nflip_aug = true',
    })
  })

  it('in float16, of pictures encoded for each use, with noise and losses of every kind', async () => {
    const { actual, expected } = await onBoth(async (device) =>
      trainNetwork(
        await tinyTraining(model, data, {
          model: { maxTokenLength: 150 },
          data: { cacheLatents: false, maskedLoss: true },
          network: { dropout: 0.1, choice: { kind: 'lora', rankDropout: 0.5 } },
          training: { device, mixedPrecision: 'fp16' },
          noise: { noiseOffset: 0.1, adaptiveNoiseScale: 0.1, multiresNoiseIterations: 3, ipNoiseGamma: 0.1 },
          loss: { type: 'huber', minSnrGamma: 5 },
        }),
      ),
    )
    expectLosses(actual, expected, 1e-2)
  })

  it('of LoKr with limited norms, weighted captions and a preview', async () => {
    const promptFile = join(
      await makeFolder({ 'prompts.txt': 'a frog --w 64 --h 64 --s 1 --l 1 --d 3' }),
      'prompts.txt',
    )
    let folder = ''
    const { actual, expected, events } = await onBoth(async (device) => {
      folder = join(await makeFolder(), 'out')
      const overrides: TinyOverrides = {
        data: { weightedCaptions: true },
        // The mean that weights restore is next to nothing in a random text encoder: its gradient would be rounding.
        network: { trainTextEncoder: false, choice: { kind: 'lokr', rankDropout: 0.2 }, scaleWeightNorms: 0.1 },
        training: { device, gradientCheckpointing: true },
        output: { folder },
        preview: { promptFile, everySteps: 2 },
      }
      return trainNetwork(await tinyTraining(model, data, overrides))
    })
    expectLosses(actual, expected, 1e-4)
    expect(only(events, 'step')[1]!.measures).toHaveProperty('max_norm/keys_scaled')
    expect(only(events, 'step')[1]!.memory!.liveBytes).toBeGreaterThan(0)
    expect(await readdir(join(folder, 'sample'))).toHaveLength(1)
  })

  it('of the embedding of a new word', async () => {
    const { actual, expected } = await onBoth(async (device) =>
      trainTextualInversion(
        await tinyInversion(model, data, {
          training: { device },
          inversion: { tokenString: 'sksfrog', vectorCount: 2, initWord: 'frog', template: 'object' },
        }),
      ),
    )
    expectLosses(actual, expected, 1e-4)
  })
})
