import { gradientNorm } from '../ops/gradientNorm.ts'
import { gradientOf, type Optimizer } from './optimizer.ts'

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
  const found = await Promise.all(
    gradients.map(async ({ name, gradient }) => {
      if (gradient === null) return []
      const norm = gradientNorm([gradient], Number.POSITIVE_INFINITY)
      try {
        return Number.isFinite(Number((await norm.read())[0])) ? [] : [name]
      } finally {
        norm.dispose()
      }
    }),
  )
  return found.flat()
}
