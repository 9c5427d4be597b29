/**
 * Every optimizer that has a name: to add one, write its class and add a row. Names are those of sd-scripts, and after them those of
 * torch.optim; arguments are those of the Python classes.
 */
import type { NamedArgument } from '../config/namedArguments.ts'
import { AdamW } from './adamW.ts'
import { AdamW8bit } from './adamW8bit.ts'
import type { OptimizerGroup } from './customOptimizer.ts'
import type { Optimizer, ParameterGroup } from './optimizer.ts'
import type { OptimizerArgument, OptimizerRow } from './registry.ts'

const betas: OptimizerArgument = { name: 'betas', kind: 'numbers', count: 2, minimum: 0, below: 1 }
const eps = amount('eps')
const weightDecay = amount('weight_decay')
const amsgrad = flag('amsgrad')

/** What the classes of bitsandbytes with 8-bit states take besides. */
const eightBit: readonly OptimizerArgument[] = [
  { name: 'min_8bit_size', setting: 'min8bitSize', kind: 'integer', minimum: 0 },
  { ...flag('block_wise'), only: { value: true, because: 'there is only the block-wise form' } },
]

export const optimizerTable: readonly OptimizerRow[] = [
  {
    ...listed('AdamW', 'torch.optim.adamw.AdamW', AdamW),
    arguments: [betas, eps, weightDecay, amsgrad],
  },
  {
    ...listed('AdamW8bit', 'bitsandbytes.optim.adamw.AdamW8bit', AdamW8bit),
    arguments: [betas, eps, weightDecay, ...eightBit],
  },
]

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

function listed(
  name: string,
  recorded: string,
  Class: AnyOptimizerClass,
): Pick<OptimizerRow, 'name' | 'recorded' | 'anyCase' | 'rates' | 'make'> {
  return {
    name,
    recorded,
    anyCase: true,
    rates: 'given',
    make: (groups, settings) => new Class(groups, settings as never),
  }
}
