import { describe, expect, it } from 'vitest'
import { backward } from '../../../lib/autograd/backward.ts'
import { noiseSchedule } from '../../../lib/diffusion/noiseSchedule.ts'
import type { PredictionType } from '../../../lib/diffusion/predictionType.ts'
import { tensor, zeros } from '../../../lib/tensor/create.ts'
import { memory } from '../../../lib/tensor/runtime.ts'
import { checkLossOptions, huberThresholds, type LossOptions, weightedLoss } from '../../../lib/train/step/loss.ts'
import { ConfigError } from '../../../lib/util/errors.ts'
import { type Digest, expectDigest } from '../../support/digest.ts'
import { loadFixture } from '../../support/fixtureCases.ts'
import { type FormulaSpec, formulaValues } from '../../support/formula.ts'

interface LossCase {
  readonly name: string
  readonly options: LossOptions
  readonly predictionType: PredictionType
  readonly masked: boolean
  readonly zeroTerminalSnr: boolean
  readonly loss: number
  readonly gradient: Digest
}

const fixture = loadFixture<{
  inputs: Readonly<Record<'prediction' | 'target' | 'mask', FormulaSpec>>
  timesteps: readonly number[]
  lossWeights: readonly number[]
  cases: readonly LossCase[]
}>('losses/losses.json')

const input = (name: keyof typeof fixture.inputs) =>
  tensor(formulaValues(`losses/${name}`, fixture.inputs[name]), fixture.inputs[name].shape)

describe('weightedLoss', () => {
  it.each(fixture.cases)('agrees with PyTorch, and so does its gradient: $name', async (expected) => {
    const before = memory().liveBuffers
    const { options, predictionType, zeroTerminalSnr, masked } = expected
    const { timesteps, lossWeights } = fixture
    const [prediction, target, mask] = [input('prediction'), input('target'), masked ? input('mask') : null]
    prediction.requiresGrad = true
    const schedule = noiseSchedule({ zeroTerminalSnr })
    const inputs = { prediction, target, timesteps, lossWeights, mask, schedule, predictionType }
    const loss = weightedLoss(inputs, options)
    expect(Number((await loss.read())[0]) / expected.loss).toBeCloseTo(1, 6)
    backward(loss)
    expectDigest((await prediction.grad!.read()) as Float32Array, expected.gradient, { rms: 2e-6, max: 1e-5 })
    for (const used of [prediction, target, mask, loss]) used?.dispose()
    expect(memory().liveBuffers).toBe(before)
  })

  it('counts a regularization picture by its weight and still divides by the size of the batch', async () => {
    const prediction = tensor([3, 3, 4, 4], [2, 1, 1, 2])
    const inputs = {
      prediction,
      target: zeros([2, 1, 1, 2]),
      timesteps: [10, 20],
      lossWeights: [1, 0.5],
      mask: null,
      schedule: noiseSchedule(),
      predictionType: 'epsilon',
    } as const
    expect(await weightedLoss(inputs, {}).read()).toEqual(Float32Array.of((9 + 0.5 * 16) / 2))
  })
})

describe('huberThresholds', () => {
  it('falls from nearly 1 to nearly huber_c over the timesteps by default', () => {
    const [first, last] = huberThresholds(noiseSchedule(), [0, 999], {})
    expect(first).toBeCloseTo(0.94971, 5)
    expect(last).toBeCloseTo(0.10369, 5)
  })
  it('is huber_c where a schedule ends in noise alone', () => {
    expect(huberThresholds(noiseSchedule({ zeroTerminalSnr: true }), [999], { huberC: 0.2 })).toEqual([0.2])
  })
})

describe('checkLossOptions', () => {
  it.each<[LossOptions, PredictionType, string]>([
    [{ huberC: 0 }, 'epsilon', 'huber_c must be a positive number, found 0'],
    [{ huberScale: -1 }, 'epsilon', 'huber_scale must be a positive number, found -1'],
    [{ minSnrGamma: -5 }, 'epsilon', 'min_snr_gamma must be positive, or 0 for none, found -5'],
    [{ scaleVPredLossLikeNoisePred: true }, 'epsilon', 'scale_v_pred_loss_like_noise_pred is for models that predict'],
    [{ vPredLikeLoss: 1 }, 'v_prediction', 'v_pred_like_loss is for models that predict noise'],
  ])('refuses %o for %s', (options, predictionType, message) => {
    expect(() => checkLossOptions(options, predictionType)).toThrow(message)
    expect(() => checkLossOptions(options, predictionType)).toThrow(ConfigError)
  })
  it('takes what changes nothing', () => {
    checkLossOptions({}, 'epsilon')
    checkLossOptions({ minSnrGamma: 0, vPredLikeLoss: 0 }, 'v_prediction')
    checkLossOptions({ scaleVPredLossLikeNoisePred: true, debiasedEstimation: true }, 'v_prediction')
  })
})
