/** What tests of learning-rate-free steps have in common. */
import type { AdaptiveSettings } from '../../lib/ops/adaptiveStep.ts'

export const settings: AdaptiveSettings = {
  learningRate: 1,
  beta1: 0.9,
  beta2: 0.99,
  beta3: 0.98,
  growthRate: Number.POSITIVE_INFINITY,
  d0: 1e-3,
  dCoef: 1,
  momentum: 0.5,
  decouple: true,
  useBiasCorrection: true,
  safeguardWarmup: true,
  noProx: true,
  sliceP: 1,
}
export const groups = [
  { factor: 1, weightDecay: 0.1, eps: 1e-8 },
  { factor: 0.5, weightDecay: 0, eps: 1e-6 },
]
