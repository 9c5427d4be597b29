import { expect, it } from 'vitest'
import { tinySd2 } from '../../lib/models/stableDiffusion/config.ts'
import type { LossInputs } from '../../lib/train/step/loss.ts'
import { trainNetwork } from '../../lib/train/trainings.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { eventsOf, makeTinyData, only, saveTinyModel, tensorBytes, tinyTraining } from '../support/tinyTraining.ts'

it('two trainings at once in one process write the same files as one after the other', async () => {
  const baseline = await baselineBuffers()
  const [sd1, sd2, data] = [await saveTinyModel(), await saveTinyModel(tinySd2), await makeTinyData()]
  const order: string[] = []
  const train = async (name: 'sd1' | 'sd2'): Promise<Buffer> => {
    const config = await tinyTraining(name === 'sd1' ? sd1 : sd2, data, {
      network: { dropout: 0.1 },
      training: { maxSteps: 4, seed: name === 'sd1' ? 1 : 2 },
    })
    for await (const event of trainNetwork(config)) {
      if (event.type === 'step') order.push(name)
      if (event.type === 'end') return tensorBytes(event.path!)
    }
    throw new Error('the training ended without an end event')
  }
  const alone = [await train('sd1'), await train('sd2')]
  expect(order.splice(0).join(' ')).toBe('sd1 sd1 sd1 sd1 sd2 sd2 sd2 sd2')
  const together = await Promise.all([train('sd1'), train('sd2')])
  // Truly side by side: neither waited for the other's end.
  expect(order.lastIndexOf('sd1')).toBeGreaterThan(order.indexOf('sd2'))
  expect(order.lastIndexOf('sd2')).toBeGreaterThan(order.indexOf('sd1'))
  expect(together.map((bytes, i) => bytes.equals(alone[i]!))).toEqual([true, true])
  expect(await liveBuffers()).toBe(baseline)
})

it('a training that fails does not disturb the one beside it', async () => {
  const [model, data] = [await saveTinyModel(), await makeTinyData()]
  const good = await tinyTraining(model, data)
  // Its loss is no number, which is found in the first step.
  const bad = { ...good, loss: ({ prediction }: LossInputs) => prediction }
  const alone = await tensorBytes(only(await eventsOf(trainNetwork(good)), 'end')[0]!.path!)
  const [first, second] = await Promise.allSettled([eventsOf(trainNetwork(good)), eventsOf(trainNetwork(bad))])
  expect(second).toMatchObject({ status: 'rejected', reason: { name: 'ArgumentError' } })
  if (first.status === 'rejected') throw first.reason
  expect((await tensorBytes(only(first.value, 'end')[0]!.path!)).equals(alone)).toBe(true)
})
