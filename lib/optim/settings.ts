/** Checks that the settings of several optimizers share. */
import { ArgumentError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'

/** @throws ArgumentError for a decay of a moment outside [0, 1) */
export function expectBetas(op: string, betas: readonly number[], count = 2): void {
  if (betas.length !== count) throw new ArgumentError(op, 'betas', `${count} numbers`, `${betas.length}`)
  for (const beta of betas)
    if (!(beta >= 0 && beta < 1)) throw new ArgumentError(op, 'betas', 'in [0, 1)', String(beta))
}

/** @throws ArgumentError for a number below 0, infinite or not a number */
export function expectAtLeastZero(op: string, values: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(values))
    if (!(value >= 0 && value < Number.POSITIVE_INFINITY)) throw new ArgumentError(op, name, '0 or more', String(value))
}

/** @throws ArgumentError for a name in `given` that is not in `known`, with the nearest one that is */
export function expectKnownSettings(op: string, given: object, known: readonly string[]): void {
  for (const name of Object.keys(given))
    if (!known.includes(name))
      throw new ArgumentError(op, 'settings', `among ${known.join(', ')}`, `"${name}".${didYouMean(name, known)}`)
}
