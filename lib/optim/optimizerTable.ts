/**
 * Every optimizer that has a name: to add one, write its class and add a row. Names are those of sd-scripts, and after them those of
 * torch.optim; arguments are those of the Python classes.
 */
import type { NamedArgument } from '../config/namedArguments.ts'
import { Adadelta } from './adadelta.ts'
import { AdaFactor } from './adaFactor.ts'
import { Adagrad } from './adagrad.ts'
import { Adam } from './adam.ts'
import { Adamax } from './adamax.ts'
import { AdamW } from './adamW.ts'
import { AdamW8bit } from './adamW8bit.ts'
import { AdEMAMix, AdEMAMix8bit } from './adEMAMix.ts'
import { ASGD } from './asgd.ts'
import { Came } from './came.ts'
import type { OptimizerGroup } from './customOptimizer.ts'
import { DAdaptAdaGrad } from './dAdaptAdaGrad.ts'
import { DAdaptAdam, DAdaptAdamPreprint } from './dAdaptAdam.ts'
import { DAdaptAdan, DAdaptAdanIP } from './dAdaptAdan.ts'
import { DAdaptLion } from './dAdaptLion.ts'
import { DAdaptSGD } from './dAdaptSgd.ts'
import { Lion, Lion8bit } from './lion.ts'
import { Muon } from './muon.ts'
import { NAdam } from './nAdam.ts'
import type { Optimizer, ParameterGroup } from './optimizer.ts'
import { PagedAdamW, PagedAdamW8bit, PagedLion8bit } from './paged.ts'
import { Prodigy } from './prodigy.ts'
import { RAdam } from './rAdam.ts'
import type { OptimizerArgument, OptimizerRow } from './registry.ts'
import { RMSprop } from './rmsProp.ts'
import { Rprop } from './rprop.ts'
import { AdamWScheduleFree, RAdamScheduleFree, SGDScheduleFree } from './scheduleFree.ts'
import { SGD, SGDNesterov, SGDNesterov8bit } from './sgd.ts'
import { StableAdamW } from './stableAdamW.ts'
import { stepsInParts } from './stepsInParts.ts'

const betas = numbers('betas', 2)
const eps = amount('eps')
const weightDecay = amount('weight_decay')
const momentum = amount('momentum')
const adam = [betas, eps, weightDecay]

/** What the classes of bitsandbytes with 8-bit states take besides. */
const eightBit: readonly OptimizerArgument[] = [
  count('min_8bit_size'),
  only('block_wise', true, 'there is only the block-wise form'),
]

/** Where states in files lie, and how many bytes of states stay in memory, or on a GPU. */
const paged: readonly OptimizerArgument[] = [{ name: 'folder', kind: 'text' }, amount('resident_bytes')]

/** What the classes of dadaptation and prodigyopt take besides. */
const estimated: readonly OptimizerArgument[] = [weightDecay, { name: 'd0', kind: 'number', minimum: 0 }]
const growth: OptimizerArgument = { name: 'growth_rate', kind: 'number', minimum: 1 }
const dAdapt = [...estimated, growth]

const averaged = [weightDecay, amount('r'), amount('weight_lr_power')]

export const optimizerTable: readonly OptimizerRow[] = [
  { ...listed('AdamW', 'torch.optim.adamw', AdamW), arguments: [...adam, flag('amsgrad')] },
  { ...listed('AdamW8bit', 'bitsandbytes.optim.adamw', AdamW8bit), arguments: [...adam, ...eightBit] },
  {
    ...listed('PagedAdamW', 'bitsandbytes.optim.adamw', PagedAdamW),
    aliases: ['PagedAdamW32bit'],
    arguments: [...adam, flag('amsgrad'), ...paged],
    paged: true,
  },
  {
    ...listed('PagedAdamW8bit', 'bitsandbytes.optim.adamw', PagedAdamW8bit),
    arguments: [...adam, ...eightBit, ...paged],
    paged: true,
  },
  { ...listed('Lion', 'lion_pytorch.lion_pytorch', Lion), arguments: [betas, weightDecay] },
  { ...listed('Lion8bit', 'bitsandbytes.optim.lion', Lion8bit), arguments: [betas, weightDecay, ...eightBit] },
  {
    ...listed('PagedLion8bit', 'bitsandbytes.optim.lion', PagedLion8bit),
    arguments: [betas, weightDecay, ...eightBit, ...paged],
    paged: true,
  },
  {
    ...listed('SGDNesterov', 'torch.optim.sgd', SGDNesterov, 'SGD'),
    arguments: [momentum, amount('dampening'), weightDecay, only('nesterov', true, 'SGD is the one without')],
    added: { momentum: 0.9 },
  },
  {
    ...listed('SGDNesterov8bit', 'bitsandbytes.optim.sgd', SGDNesterov8bit, 'SGD8bit'),
    arguments: [momentum, weightDecay, flag('true_nesterov'), ...eightBit],
    added: { momentum: 0.9 },
    note: "steps along the plain momentum, as the library does that it is named after; true_nesterov=True is Nesterov's step",
  },
  {
    ...listed('DAdaptAdamPreprint', 'dadaptation.experimental.dadapt_adam_preprint', DAdaptAdamPreprint),
    aliases: ['DAdaptation'],
    arguments: [betas, eps, flag('decouple'), ...dAdapt],
    rates: 'estimated',
  },
  {
    ...listed('DAdaptAdaGrad', 'dadaptation.dadapt_adagrad', DAdaptAdaGrad),
    arguments: [eps, momentum, ...dAdapt],
    rates: 'estimated',
  },
  {
    ...listed('DAdaptAdam', 'dadaptation.dadapt_adam', DAdaptAdam),
    arguments: [betas, eps, flag('decouple'), flag('use_bias_correction'), ...dAdapt],
    rates: 'estimated',
  },
  {
    ...listed('DAdaptAdan', 'dadaptation.dadapt_adan', DAdaptAdan),
    arguments: [numbers('betas', 3), eps, flag('no_prox'), ...dAdapt],
    rates: 'estimated',
  },
  {
    ...listed('DAdaptAdanIP', 'dadaptation.experimental.dadapt_adan_ip', DAdaptAdanIP),
    arguments: [numbers('betas', 3), eps, flag('no_prox'), ...dAdapt],
    rates: 'estimated',
  },
  {
    ...listed('DAdaptLion', 'dadaptation.dadapt_lion', DAdaptLion),
    arguments: [betas, ...estimated],
    rates: 'estimated',
  },
  { ...listed('DAdaptSGD', 'dadaptation.dadapt_sgd', DAdaptSGD), arguments: [momentum, ...dAdapt], rates: 'estimated' },
  {
    ...listed('Prodigy', 'prodigyopt.prodigy', Prodigy),
    arguments: [
      ...[betas, decayOrNone('beta3'), eps],
      ...[flag('decouple'), flag('use_bias_correction'), flag('safeguard_warmup'), amount('d_coef'), growth],
      ...[{ name: 'slice_p', kind: 'integer', minimum: 1 } as const, ...estimated],
    ],
    rates: 'estimated',
  },
  {
    ...listed('AdamWScheduleFree', 'schedulefree.adamw_schedulefree', AdamWScheduleFree),
    arguments: [betas, eps, count('warmup_steps'), ...averaged],
    rates: 'scheduleFree',
  },
  {
    ...listed('RAdamScheduleFree', 'schedulefree.radam_schedulefree', RAdamScheduleFree),
    arguments: [betas, eps, flag('silent_sgd_phase'), ...averaged],
    rates: 'scheduleFree',
  },
  {
    ...listed('SGDScheduleFree', 'schedulefree.sgd_schedulefree', SGDScheduleFree),
    arguments: [momentum, count('warmup_steps'), ...averaged],
    rates: 'scheduleFree',
  },
  {
    ...listed('AdEMAMix', 'bitsandbytes.optim.ademamix', AdEMAMix),
    arguments: [numbers('betas', 3), ...slowMoment(), eps, weightDecay],
  },
  {
    ...listed('AdEMAMix8bit', 'bitsandbytes.optim.ademamix', AdEMAMix8bit),
    arguments: [numbers('betas', 3), ...slowMoment(), eps, weightDecay, ...eightBit],
  },
  {
    ...listed('AdaFactor', 'transformers.optimization', AdaFactor, 'Adafactor'),
    arguments: [
      ...[numbers('eps', 2, Number.POSITIVE_INFINITY), amount('clip_threshold')],
      ...[{ name: 'decay_rate', kind: 'number' } as const, decayOrNone('beta1'), weightDecay],
      ...[flag('scale_parameter'), flag('relative_step'), flag('warmup_init'), flag('flatten_conv')],
    ],
    rates: 'relative',
  },
  {
    ...listed('CAME', 'pytorch_optimizer.optimizer.came', Came),
    arguments: [
      ...[numbers('betas', 3), amount('clip_threshold'), weightDecay, flag('flatten_conv')],
      ...[numbers('eps', 2, Number.POSITIVE_INFINITY)],
    ],
  },
  { ...listed('StableAdamW', 'optimi.stableadamw', StableAdamW), arguments: adam },
  {
    ...listed('Muon', 'torch.optim._muon', Muon),
    arguments: [
      ...[momentum, flag('nesterov'), weightDecay, { ...count('ns_steps'), setting: 'newtonSchulzSteps' }],
      ...[{ ...amount('adam_lr'), setting: 'adamLearningRate' }, numbers('adam_betas', 2), amount('adam_eps')],
    ],
    note: 'steps what is no matrix by AdamW at adam_lr',
  },
  { ...ofTorch('Adam', 'adam', Adam), arguments: [...adam, flag('amsgrad')] },
  {
    ...ofTorch('NAdam', 'nadam', NAdam),
    arguments: [...adam, amount('momentum_decay'), flag('decoupled_weight_decay')],
  },
  { ...ofTorch('RAdam', 'radam', RAdam), arguments: [...adam, flag('decoupled_weight_decay')] },
  { ...ofTorch('Adamax', 'adamax', Adamax), arguments: adam },
  {
    ...ofTorch('Adagrad', 'adagrad', Adagrad),
    arguments: [
      ...[{ ...amount('lr_decay'), setting: 'learningRateDecay' }, weightDecay],
      ...[amount('initial_accumulator_value'), eps],
    ],
  },
  {
    ...ofTorch('Adadelta', 'adadelta', Adadelta),
    arguments: [{ name: 'rho', kind: 'number', minimum: 0, below: 1 }, eps, weightDecay],
  },
  {
    ...ofTorch('RMSprop', 'rmsprop', RMSprop),
    arguments: [amount('alpha'), eps, weightDecay, momentum, flag('centered')],
  },
  {
    ...ofTorch('Rprop', 'rprop', Rprop),
    arguments: [numbers('etas', 2, Number.POSITIVE_INFINITY), numbers('step_sizes', 2, Number.POSITIVE_INFINITY)],
  },
  {
    ...ofTorch('ASGD', 'asgd', ASGD),
    arguments: [amount('lambd'), amount('alpha'), amount('t0'), weightDecay],
  },
  {
    ...ofTorch('SGD', 'sgd', SGD),
    arguments: [momentum, amount('dampening'), weightDecay, flag('nesterov')],
  },
]

function slowMoment(): OptimizerArgument[] {
  return [
    amount('alpha'),
    { ...count('t_alpha'), setting: 'alphaWarmup', optional: true },
    { ...count('t_beta3'), setting: 'beta3Warmup', optional: true },
  ]
}

/** So many numbers of at least 0, below 1 unless told otherwise. */
function numbers(name: string, length: number, below = 1): NamedArgument {
  return { name, kind: 'numbers', count: length, minimum: 0, below }
}

/** The decay of a moment that may be left out. */
function decayOrNone(name: string): NamedArgument {
  return { name, kind: 'number', minimum: 0, below: 1, optional: true }
}

/** A whole number of at least 0. */
function count(name: string): NamedArgument {
  return { name, kind: 'integer', minimum: 0 }
}

function only(name: string, value: boolean, because: string): NamedArgument {
  return { name, kind: 'boolean', only: { value, because } }
}

/** A number of at least 0. */
function amount(name: string): NamedArgument {
  return { name, kind: 'number', minimum: 0 }
}

function flag(name: string): NamedArgument {
  return { name, kind: 'boolean' }
}

/** The settings were checked against the row, and the class checks them again by name and range. */
type AnyOptimizerClass = new (
  groups: readonly (ParameterGroup<{ readonly learningRate: number }> & OptimizerGroup)[],
  settings: never,
) => Optimizer

type Named = Pick<OptimizerRow, 'name' | 'recorded' | 'anyCase' | 'rates' | 'inParts' | 'make'>

/** A name of sd-scripts, or one that it lacks and that is no class of torch.optim. */
function listed(name: string, module: string, Class: AnyOptimizerClass, pythonClass = name): Named {
  return {
    name,
    recorded: `${module}.${pythonClass}`,
    anyCase: true,
    rates: 'given',
    inParts: stepsInParts(Class),
    make: (groups, settings) => new Class(groups, settings as never),
  }
}

/** A class of torch.optim that sd-scripts finds by its exact name. */
function ofTorch(name: string, module: string, Class: AnyOptimizerClass): Named {
  return { ...listed(name, `torch.optim.${module}`, Class), anyCase: false }
}
