/** States of trainings on the emulated GPU. */
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { DeviceName } from '../../lib/tensor/tensor.ts'
import type { TrainEvent } from '../../lib/train/events.ts'
import { trainNetwork } from '../../lib/train/trainings.ts'
import { smallDwarf } from '../support/dwarfModel.ts'
import { canEmulate } from '../support/emulatedGpu.ts'
import { makeFolder } from '../support/pictures.ts'
import { eventsOf, makeTinyData, only, saveTinyModel, tensorBytes, tinyTraining } from '../support/tinyTraining.ts'

let model: string
let data: string

/** A LoRA with 8-bit states. @param steps of the whole run */
async function run(device: DeviceName, steps: number, resume: string | null = null) {
  const folder = join(await makeFolder(), 'out')
  const config = await tinyTraining(model, data, {
    training: { maxSteps: steps, device },
    data: { cacheLatentsToDisk: true },
    optimizer: { type: 'AdamW8bit', arguments: { min_8bit_size: 16 } },
    output: { folder, saveEverySteps: 1 },
    state: { save: true, resume },
  })
  const events: TrainEvent[] = await eventsOf(trainNetwork(config))
  const states = join(folder, 'frog-state')
  return {
    events,
    first: join(folder, 'frog-step00000001-state'),
    last: states,
    weights: await tensorBytes(only(events, 'end')[0]!.path!),
    moments: await tensorBytes(join(states, 'optimizer.safetensors')),
  }
}

describe.runIf(canEmulate)('a state of a training', () => {
  beforeAll(async () => {
    model = await saveTinyModel(smallDwarf)
    data = await makeTinyData({ pictures: { 'a.png': [64, 64], 'a.txt': 'sks frog' }, batchSize: 1 })
  })

  it('goes on on the GPU with the bits of a run that did not stop, and elsewhere with a word about rounding', async () => {
    const whole = await run('cuda', 2)
    const resumed = await run('cuda', 2, whole.first)
    expect(resumed.weights.equals(whole.weights)).toBe(true)
    expect(resumed.moments.equals(whole.moments)).toBe(true)
    const said = ({ events }: { readonly events: readonly TrainEvent[] }) =>
      only(events, 'warning').filter(({ message }) => message.includes('computed on'))
    expect(said(resumed)).toEqual([])
    const onCpu = await run('cpu', 2, whole.first)
    expect(said(onCpu).map(({ message }) => message)).toEqual([
      'it was computed on cuda so far and goes on on cpu: results differ by rounding from here on',
    ])
    const back = await run('cuda', 3, onCpu.last)
    expect(said(back)).toHaveLength(1)
    expect(only(back.events, 'step').map(({ step }) => step)).toEqual([3])
  })
})
