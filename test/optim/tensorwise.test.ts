import { AdaFactor, Came, Muon, StableAdamW } from '../../lib/optim/index.ts'
import { describeOptimizer, optimizerCase } from '../support/optimizerSuite.ts'

const family = 'tensorwise'
const decay = [{ weightDecay: -0.1 }, 'weightDecay must be 0 or more, received -0.1'] as const
const threshold = [{ clipThreshold: 0 }, 'clipThreshold must be above 0, received 0'] as const

/** The optimizers that need statistics of whole tensors. */
const cases = [
  optimizerCase(AdaFactor, {
    name: 'adaFactor',
    family,
    references: ['adaFactor', 'adaFactorWarmup', 'adaFactorManual', 'adaFactorScaled', 'adaFactorFlat'],
    refuses: [
      decay,
      threshold,
      [{ eps: [-1, 1e-3] }, 'eps must be 0 or more, received -1'],
      [{ decayRate: 0.8 }, 'decayRate must be 0 or less, received 0.8'],
      [{ beta1: 1 }, 'betas must be in [0, 1), received 1'],
      [{ relativeStep: false }, 'learningRate must be above 0 without relativeStep'],
      [{ relativeStep: false, learningRate: 1, warmupInit: true }, 'warmupInit must be false without relativeStep'],
    ],
  }),
  optimizerCase(Came, {
    name: 'came',
    family,
    references: ['came', 'cameFlat'],
    refuses: [decay, threshold, [{ betas: [0.9, 0.999] }, 'betas must be 3 numbers'], [{ eps: [1e-30, -1] }, 'eps']],
  }),
  optimizerCase(StableAdamW, {
    name: 'stableAdamW',
    family,
    references: ['stableAdamW'],
    refuses: [decay, [{ betas: [0.9, 1] }, 'betas must be in [0, 1)'], [{ eps: -1 }, 'eps must be 0 or more']],
  }),
  optimizerCase(Muon, {
    name: 'muon',
    family,
    references: ['muon', 'muonPlain'],
    refuses: [
      decay,
      [{ momentum: 1 }, 'momentum must be in [0, 1), received 1'],
      [{ newtonSchulzSteps: 0 }, 'newtonSchulzSteps must be a whole number of 1 or more'],
      [{ precision: 'float16' }, 'precision must be float32 or bfloat16'],
      [{ adamBetas: [0.9, 1] }, 'betas must be in [0, 1)'],
      [{ adamLearningRate: -1 }, 'adamLearningRate must be 0 or more'],
    ],
  }),
]

for (const one of cases) describeOptimizer(one)
