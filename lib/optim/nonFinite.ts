import { noGrad } from '../autograd/tape.ts'
import { cast } from '../ops/cast.ts'
import { gradientNorm, jointNorm } from '../ops/gradientNorm.ts'
import { scale } from '../ops/scale.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { gradientOf, type Optimizer, type OptimizerParameter } from './optimizer.ts'

/**
 * The names of the parameters whose gradients hold a NaN or an infinity, in order. Each gradient is read once on the device: ask when
 * the norm of all of them was not finite, before `zeroGrad`.
 *
 * Of an optimizer without `parameters` the answers are `gradient 0`, `gradient 1`, ...
 */
export async function findNonFinite(optimizer: Optimizer): Promise<string[]> {
  const gradients =
    optimizer.parameters === undefined
      ? optimizer.gradients().map((gradient, i) => ({ name: `gradient ${i}`, gradient }))
      : optimizer.parameters().map((parameter) => ({ name: parameter.name, gradient: gradientOf(parameter) }))
  return namesOf(
    gradients.filter((each): each is { name: string; gradient: Tensor } => each.gradient !== null),
    ({ gradient }) => normIsFinite(gradientNorm([gradient])),
  )
}

/**
 * The names of the parameters whose values hold a NaN or an infinity, in order. The values are read once on the device, and once more
 * only where something is found.
 */
export async function findNonFiniteValues(parameters: readonly OptimizerParameter[]): Promise<string[]> {
  if (parameters.length === 0) return []
  // Those of 16 bits one after the other: together, in float32, they may be too much for the memory.
  const [halves, others] = [false, true].map((isFloat32) =>
    parameters.filter(({ master }) => (master.dtype === 'float32') === isFloat32).map(({ master }) => master),
  ) as [Tensor[], Tensor[]]
  const all = scope(() => {
    const norms = halves.map((master) => scope(() => gradientNorm([asFloat32(master)])))
    if (others.length > 0) norms.push(gradientNorm(others))
    return jointNorm(norms)
  })
  if (await normIsFinite(all)) return []
  return namesOf(parameters, ({ master }) => isFiniteTensor(master))
}

/** Whether no element is a NaN or an infinity. The tensor is packed, of any float type; the caller may dispose it at once. */
export function isFiniteTensor(tensor: Tensor): Promise<boolean> {
  // The norm of large numbers may overflow where the numbers do not.
  return normIsFinite(noGrad(() => scope(() => gradientNorm([scale(asFloat32(tensor), { factor: 2 ** -100 })]))))
}

function asFloat32(tensor: Tensor): Tensor {
  return tensor.dtype === 'float32' ? tensor : noGrad(() => cast(tensor, { dtype: 'float32' }))
}

async function namesOf<Named extends { readonly name: string }>(
  all: readonly Named[],
  isFiniteOne: (one: Named) => Promise<boolean>,
): Promise<string[]> {
  const finite = await Promise.all(all.map(isFiniteOne))
  return all.filter((_, i) => !finite[i]).map(({ name }) => name)
}

async function normIsFinite(norm: Tensor): Promise<boolean> {
  try {
    return Number.isFinite(Number((await norm.read())[0]))
  } finally {
    norm.dispose()
  }
}
