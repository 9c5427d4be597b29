/** What optimizers with 8-bit states share. */
import { ArgumentError } from '../util/errors.ts'
import type { OptimizerParameter } from './optimizer.ts'
import type { RuleVariant } from './ruleOptimizer.ts'

export interface EightBitSettings {
  /** Parameters with fewer elements keep float32 states. Default 4096. */
  readonly min8bitSize?: number
  /** Decay the stepped parameter, as the GPU kernels of the common implementation do, instead of the old one. Default false. */
  readonly decayAfter?: boolean
}

/** Takes the settings of 8-bit states out of an optimizer's: what is left, and the variant of the step that they ask for. */
export function eightBit<T extends EightBitSettings>(
  op: string,
  settings: T,
): { readonly rest: Omit<T, keyof EightBitSettings>; readonly variant: RuleVariant } {
  const { min8bitSize = 4096, decayAfter = false, ...rest } = settings
  if (!(min8bitSize >= 0)) throw new ArgumentError(op, 'min8bitSize', '0 or more', String(min8bitSize))
  const codes = ({ master }: OptimizerParameter): boolean => master.size >= min8bitSize
  return { rest, variant: { codes, decayAfter, skipInvalid: true } }
}

/** 1 - beta as kernels in float32 have it, which is off by up to 5e-5 of itself for 0.999: states are exchanged with those kernels. */
export function float32Rest(beta: number): number {
  return Math.fround(1 - Math.fround(beta))
}
