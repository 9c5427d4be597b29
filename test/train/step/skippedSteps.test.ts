import { describe, expect, it } from 'vitest'
import type { TrainEvent } from '../../../lib/train/events.ts'
import { SkippedSteps } from '../../../lib/train/step/skippedSteps.ts'
import type { StepFault } from '../../../lib/train/step/stepFault.ts'
import { trainNetwork } from '../../../lib/train/trainings.ts'
import { DivergenceError } from '../../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers } from '../../support/device.ts'
import { makeTinyData, only, saveTinyModel, tinyTraining } from '../../support/tinyTraining.ts'

function fault(changed: Partial<StepFault> = {}): StepFault {
  return { loss: 0.5, parameters: ['down'], pictures: ['in/a.png', 'in/b.png'], place: 'unet.conv_in', ...changed }
}

describe('SkippedSteps', () => {
  it('counts skipped steps and names parameter, layer and pictures', () => {
    const skipped = new SkippedSteps()
    expect(skipped.add(1, null)).toBeNull()
    expect(skipped.add(2, fault())).toBe(
      'step 2: the gradient of down is not finite; the step was skipped (1 so far; 10 in a row end the training). ' +
        'The first value that is not finite is in unet.conv_in. Pictures: in/a.png, in/b.png.',
    )
    expect(skipped.add(3, fault({ parameters: ['down', 'up', 'bias'], pictures: [] }))).toMatch(
      /the gradient of down and of 2 more is not finite; .* is in unet\.conv_in\.$/,
    )
    expect(skipped.add(4, fault({ loss: Number.NaN }))).toContain(
      'step 4: the loss is NaN and the gradient of down is not finite; the step was skipped',
    )
    expect(skipped.add(5, fault({ loss: Number.POSITIVE_INFINITY, parameters: [] }))).toContain(
      'step 5: the loss is Infinity; the step was skipped',
    )
    expect(skipped.count).toBe(4)
  })

  it('says what to do where a VAE in 16 bits made the latents', () => {
    const latents = fault({ loss: Number.NaN, place: 'the latents' })
    const advice = 'The VAE made them: compute it in float32 with no_half_vae.'
    expect(new SkippedSteps({ halfVae: true }).add(1, latents)).toContain(advice)
    for (const [halfVae, broken] of [
      [false, latents],
      [true, fault()],
    ] as const)
      expect(new SkippedSteps({ halfVae }).add(1, broken)).not.toContain('VAE')
    expect(() => new SkippedSteps({ halfVae: true, policy: 'stop' }).add(1, latents)).toThrow(/no_half_vae\.$/)
  })

  it('ends the training after ten in a row, not after ten in all', () => {
    const skipped = new SkippedSteps()
    for (let step = 1; step <= 9; step++) skipped.add(step, fault())
    skipped.add(10, null)
    for (let step = 11; step <= 19; step++) skipped.add(step, fault())
    expect(() => skipped.add(20, fault())).toThrow(DivergenceError)
    expect(() => skipped.add(21, fault())).toThrow(/as were the 9 before\..* Pictures: .* Lower the learning rate/)
  })

  it('ends the training at the first, for a loss as for a gradient, where none may be skipped', () => {
    for (const broken of [fault(), fault({ loss: Number.NaN, parameters: [] })]) {
      const skipped = new SkippedSteps({ policy: 'stop' })
      const error = catchError(() => skipped.add(3, broken))
      expect(error).toBeInstanceOf(DivergenceError)
      expect(error).toMatchObject({ parameters: broken.parameters, pictures: broken.pictures })
      expect(String(error)).toContain('and on_non_finite is stop')
    }
  })
})

function catchError(body: () => unknown): unknown {
  try {
    body()
  } catch (error) {
    return error
  }
  return null
}

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
  await expect(run()).rejects.toThrow(/^step 11: the .*gradient of .*lora.* is not finite; .* as were the 9 before/)
  const warnings = only(events, 'warning').map(({ message }) => message)
  const skipped = warnings.filter((message) => message.includes('the gradient of'))
  expect(skipped).toHaveLength(9)
  expect(skipped[0]).toMatch(
    /^step 2: the .*gradient of .*lora.* is not finite; the step was skipped \(1 so far.*Pictures: .*\.(png|jpg|webp|bmp)/,
  )
  expect(only(events, 'step').map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  expect(await liveBuffers()).toBe(baseline)
})
