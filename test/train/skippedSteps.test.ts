import { describe, expect, it } from 'vitest'
import type { TrainEvent } from '../../lib/train/events.ts'
import { SkippedSteps } from '../../lib/train/skippedSteps.ts'
import { trainNetwork } from '../../lib/train/trainings.ts'
import { ConfigError } from '../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { makeTinyData, only, saveTinyModel, tinyTraining } from '../support/tinyTraining.ts'

describe('SkippedSteps', () => {
  it('counts skipped steps and names the parameter', () => {
    const skipped = new SkippedSteps()
    expect(skipped.add(1, [])).toBeNull()
    expect(skipped.add(2, ['down'])).toBe(
      'step 2: the gradient of down is not finite; the step was skipped (1 so far; 10 in a row end the training)',
    )
    expect(skipped.add(3, ['down', 'up', 'bias'])).toContain('the gradient of down and of 2 more is not finite')
    expect(skipped.count).toBe(2)
  })
  it('ends the training after ten in a row, not after ten in all', () => {
    const skipped = new SkippedSteps()
    for (let step = 1; step <= 9; step++) skipped.add(step, ['down'])
    skipped.add(10, [])
    for (let step = 11; step <= 19; step++) skipped.add(step, ['down'])
    expect(() => skipped.add(20, ['down'])).toThrow(ConfigError)
    expect(() => skipped.add(21, ['down'])).toThrow('as were the 9 before. Lower the learning rate')
  })
})

it('a training whose gradients break names a parameter for each skipped step and ends after ten, leaving nothing', async () => {
  const config = await tinyTraining(await saveTinyModel(), await makeTinyData(), {
    optimizer: { type: 'SGD', learningRate: 1e30, maxGradNorm: 0 },
    training: { maxSteps: 20 },
    network: { trainTextEncoder: false },
  })
  const baseline = await baselineBuffers()
  const events: TrainEvent[] = []
  const run = async (): Promise<void> => {
    for await (const event of trainNetwork(config)) events.push(event)
  }
  await expect(run()).rejects.toThrow(/^step 11: the gradient of .*lora.* is not finite; .* as were the 9 before/)
  const warnings = only(events, 'warning').map(({ message }) => message)
  const skipped = warnings.filter((message) => message.includes('the gradient of'))
  expect(skipped).toHaveLength(9)
  expect(skipped[0]).toMatch(/^step 2: the gradient of .*lora.* is not finite; the step was skipped \(1 so far/)
  expect(only(events, 'step').map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  expect(await liveBuffers()).toBe(baseline)
})
