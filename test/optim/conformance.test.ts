import {
  Adadelta,
  Adagrad,
  Adam,
  Adamax,
  AdamW,
  AdamW8bit,
  AdamWScheduleFree,
  AdEMAMix,
  AdEMAMix8bit,
  ASGD,
  Lion,
  Lion8bit,
  NAdam,
  PagedAdamW,
  PagedAdamW8bit,
  PagedLion8bit,
  RAdam,
  RAdamScheduleFree,
  RMSprop,
  Rprop,
  SGD,
  SGDNesterov,
  SGDNesterov8bit,
  SGDScheduleFree,
} from '../../lib/optim/index.ts'
import { describeOptimizer, optimizerCase } from '../support/optimizerSuite.ts'

const family = 'elementwise'
const decay = [{ weightDecay: -0.1 }, 'weightDecay must be 0 or more, received -0.1'] as const
const eps = [{ eps: Number.NaN }, 'eps must be 0 or more, received NaN'] as const
const betas = [{ betas: [0.9, 1] }, 'betas must be in [0, 1), received 1'] as const
const negative = [{ betas: [-0.1, 0.9] }, 'betas must be in [0, 1), received -0.1'] as const
const adam = [decay, eps, betas, negative]
// One code apart is a seventieth of a moment, and a fraction of the step's size in the parameter.
const coded = { family, tolerance: 2e-4 }

/** Every optimizer. Others are added here with a family of fixtures of their own. */
const cases = [
  optimizerCase(AdamW, { name: 'adamW', family, references: ['adamW', 'adamWAmsgrad'], refuses: adam }),
  optimizerCase(AdamW8bit, { name: 'adamW8bit', ...coded, references: ['adamW8bit'], refuses: adam }),
  optimizerCase(PagedAdamW, { name: 'pagedAdamW', family, references: ['adamW'], refuses: adam }),
  optimizerCase(PagedAdamW8bit, { name: 'pagedAdamW8bit', ...coded, references: ['adamW8bit'], refuses: adam }),
  optimizerCase(PagedLion8bit, { name: 'pagedLion8bit', ...coded, references: ['lion8bit'], refuses: [decay, betas] }),
  optimizerCase(Adam, { name: 'adam', family, references: ['adam'], refuses: adam }),
  optimizerCase(Lion, { name: 'lion', family, references: ['lion'], refuses: [decay, betas, negative] }),
  optimizerCase(Lion8bit, { name: 'lion8bit', ...coded, references: ['lion8bit'], refuses: [decay, betas, negative] }),
  optimizerCase(SGD, {
    name: 'sgd',
    family,
    references: ['sgdMomentum', 'sgd'],
    refuses: [
      decay,
      [{ momentum: -1 }, 'momentum must be 0 or more'],
      [{ momentum: 0, nesterov: true, dampening: 0 }, 'momentum must be above 0 with nesterov'],
      [{ nesterov: true }, 'dampening must be 0 with nesterov'],
    ],
  }),
  optimizerCase(SGDNesterov, {
    name: 'sgdNesterov',
    family,
    references: ['sgdNesterov'],
    refuses: [decay, [{ momentum: 0 }, 'momentum must be above 0 with nesterov']],
  }),
  optimizerCase(SGDNesterov8bit, {
    name: 'sgdNesterov8bit',
    ...coded,
    references: ['sgdNesterov8bit', 'sgdTrueNesterov8bit'],
    refuses: [decay, [{ momentum: 0 }, 'momentum must be above 0']],
  }),
  optimizerCase(AdEMAMix, {
    name: 'adEMAMix',
    family,
    references: ['adEMAMix', 'adEMAMixWarmup'],
    refuses: [decay, eps, [{ betas: [0.9, 0.999] }, 'betas must be 3 numbers'], [{ alpha: -1 }, 'alpha must be']],
  }),
  optimizerCase(AdEMAMix8bit, {
    name: 'adEMAMix8bit',
    ...coded,
    references: ['adEMAMix8bit'],
    refuses: [decay, eps, [{ betas: [0.9, 0.999] }, 'betas must be 3 numbers'], [{ min8bitSize: -1 }, 'min8bitSize']],
  }),
  optimizerCase(NAdam, { name: 'nAdam', family, references: ['nAdam', 'nAdamDecoupled'], refuses: adam }),
  optimizerCase(RAdam, { name: 'rAdam', family, references: ['rAdam', 'rAdamDecoupled'], refuses: adam }),
  optimizerCase(Adamax, { name: 'adamax', family, references: ['adamax'], refuses: adam }),
  optimizerCase(Adagrad, { name: 'adagrad', family, references: ['adagrad'], refuses: [decay, eps] }),
  optimizerCase(Adadelta, {
    name: 'adadelta',
    family,
    references: ['adadelta'],
    refuses: [decay, eps, [{ rho: 1.5 }, 'rho must be in [0, 1]']],
  }),
  optimizerCase(RMSprop, {
    name: 'rmsProp',
    family,
    references: ['rmsProp', 'rmsPropCentered'],
    refuses: [decay, eps, [{ alpha: 1 }, 'alpha must be in [0, 1)']],
  }),
  optimizerCase(Rprop, {
    name: 'rprop',
    family,
    references: ['rprop'],
    refuses: [[{ etas: [1.1, 1.2] }, 'etas must be one in (0, 1) and one above 1']],
  }),
  optimizerCase(ASGD, {
    name: 'asgd',
    family,
    references: ['asgd'],
    refuses: [decay, [{ lambd: -1 }, 'lambd must be']],
  }),
  optimizerCase(AdamWScheduleFree, {
    name: 'adamWScheduleFree',
    family,
    references: ['adamWScheduleFree'],
    refuses: [...adam, [{ betas: [0, 0.9] }, 'momentum must be in (0, 1)'], [{ warmupSteps: -1 }, 'warmupSteps']],
  }),
  optimizerCase(RAdamScheduleFree, {
    name: 'rAdamScheduleFree',
    firstStepIsNone: true,
    family,
    references: ['rAdamScheduleFree', 'rAdamScheduleFreeLoud'],
    refuses: adam,
  }),
  optimizerCase(SGDScheduleFree, {
    name: 'sgdScheduleFree',
    family,
    references: ['sgdScheduleFree'],
    refuses: [decay, [{ momentum: 1 }, 'momentum must be in (0, 1)']],
  }),
]

for (const one of cases) describeOptimizer(one)
