import {
  DAdaptAdaGrad,
  DAdaptAdam,
  DAdaptAdamPreprint,
  DAdaptAdan,
  DAdaptAdanIP,
  DAdaptLion,
  DAdaptSGD,
  Prodigy,
} from '../../lib/optim/index.ts'
import { describeOptimizer, optimizerCase } from '../support/optimizerSuite.ts'

const decay = [{ weightDecay: -0.1 }, 'weightDecay must be 0 or more, received -0.1'] as const
const d0 = [{ d0: 0 }, 'd0 must be more than 0, received 0'] as const
const eps = [{ eps: 0 }, 'eps must be more than 0, received 0'] as const
const growth = [{ growthRate: 0.9 }, 'growthRate must be 1 or more, received 0.9'] as const
const betas = [{ betas: [0.9, 1] }, 'betas must be in [0, 1), received 1'] as const
const momentum = [{ momentum: 1 }, 'momentum must be in [0, 1), received 1'] as const
const threeBetas = [
  [{ betas: [0.9, 0.9] }, 'betas must be 3 numbers, received 2'],
  [{ betas: [0.9, 0.9, 1] }, 'betas must be in [0, 1), received 1'],
] as const
const common = { family: 'adaptive' }

/** Every learning-rate-free optimizer. */
const cases = [
  optimizerCase(DAdaptAdam, {
    ...common,
    name: 'dAdaptAdam',
    references: ['dAdaptAdam', 'dAdaptAdamDecoupled'],
    refuses: [decay, d0, eps, growth, betas],
  }),
  optimizerCase(DAdaptAdamPreprint, {
    ...common,
    name: 'dAdaptAdamPreprint',
    references: ['dAdaptAdamPreprint', 'dAdaptAdamPreprintDecoupled'],
    refuses: [decay, d0, eps, growth, betas],
  }),
  optimizerCase(DAdaptAdaGrad, {
    ...common,
    name: 'dAdaptAdaGrad',
    references: ['dAdaptAdaGrad', 'dAdaptAdaGradMomentum'],
    refuses: [decay, d0, eps, growth, momentum],
  }),
  optimizerCase(DAdaptAdan, {
    ...common,
    name: 'dAdaptAdan',
    references: ['dAdaptAdan', 'dAdaptAdanNoProx'],
    refuses: [decay, d0, eps, growth, ...threeBetas],
  }),
  optimizerCase(DAdaptAdanIP, {
    ...common,
    name: 'dAdaptAdanIP',
    references: ['dAdaptAdanIP', 'dAdaptAdanIPNoProx'],
    refuses: [decay, d0, eps, growth, ...threeBetas],
  }),
  optimizerCase(DAdaptLion, {
    ...common,
    name: 'dAdaptLion',
    references: ['dAdaptLion'],
    refuses: [decay, d0, betas],
  }),
  optimizerCase(DAdaptSGD, {
    ...common,
    name: 'dAdaptSGD',
    references: ['dAdaptSGD', 'dAdaptSGDMomentum'],
    refuses: [decay, d0, growth, momentum],
  }),
  optimizerCase(Prodigy, {
    ...common,
    name: 'prodigy',
    references: ['prodigy', 'prodigyDiffusion', 'prodigyCoupled', 'prodigySliced', 'prodigyWithoutMean'],
    refuses: [
      decay,
      d0,
      eps,
      growth,
      betas,
      [{ beta3: 1 }, 'beta3 must be in [0, 1), or null, received 1'],
      [{ dCoef: 0 }, 'dCoef must be more than 0, received 0'],
      [{ sliceP: 1.5 }, 'sliceP must be a whole number of 1 or more, received 1.5'],
    ],
  }),
]

for (const one of cases) describeOptimizer(one)
