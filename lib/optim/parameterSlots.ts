/** What optimizers do alike with their parameters and states. */
import { formatShape, sameShape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import type { OptimizerParameter, OptimizerState } from './optimizer.ts'

/** Frees the gradients of masters and copies. */
export function zeroGradients(parameters: readonly OptimizerParameter[]): void {
  for (const { master, copy } of parameters)
    for (const tensor of [master, copy]) {
      if (!tensor) continue
      tensor.grad?.dispose()
      tensor.grad = null
    }
}

/**
 * @param rounds whether the master may be of a 16-bit float type, which is rounded by chance
 * @throws ArgumentError unless the master is contiguous float32, and the copy, if there is one, a 16-bit float tensor of its shape
 */
export function expectMaster(op: string, { name, master, copy }: OptimizerParameter, rounds: boolean): void {
  if ((master.dtype !== 'float32' && !(rounds && isHalf(master))) || !master.contiguous) {
    const expected = 'a contiguous float32 tensor, or bfloat16 or float16 with stochastic rounding'
    throw new ArgumentError(op, name, expected, `${master}`)
  }
  if (copy && (!isHalf(copy) || !sameShape(copy.shape, master.shape)))
    throw new ArgumentError(op, `${name} (copy)`, `bfloat16 or float16 ${formatShape(master.shape)}`, `${copy}`)
}

function isHalf({ dtype }: Tensor): boolean {
  return dtype === 'bfloat16' || dtype === 'float16'
}

/** @throws ArgumentError for a state of another kind of optimizer, or with parameters that are not ours */
export function expectStateOf(
  op: string,
  { optimizer, steps }: OptimizerState,
  parameters: readonly OptimizerParameter[],
): void {
  const family = (name: string): string => name.replace(/^paged|8bit$|32bit$/gi, '').toLowerCase()
  if (family(optimizer) !== family(op)) throw new ArgumentError(op, 'state', `a state of ${op}`, `one of ${optimizer}`)
  const known = new Set(parameters.map(({ name }) => name))
  for (const name of Object.keys(steps))
    if (!known.has(name)) throw new ArgumentError(op, 'state', 'of the same parameters', `one with "${name}"`)
}

/** @throws ArgumentError for a state that lacks the number of steps of a parameter */
export function expectStepsOf(op: string, { steps }: OptimizerState, parameters: readonly OptimizerParameter[]): void {
  for (const { name } of parameters)
    if (!Number.isInteger(steps[name]))
      throw new ArgumentError(op, 'state', `with the steps of ${name}`, 'a state without them')
}
