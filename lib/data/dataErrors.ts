import { DataError } from '../util/errors.ts'

const shownAtMost = 20

/**
 * Throws one error for all problems found in a pass over the data, so that they can be mended in one go. Its path is that of
 * the first, its message lists up to 20, and its cause holds every one.
 */
export function throwCollected(errors: readonly DataError[]): void {
  const [first, ...rest] = errors
  if (first === undefined) return
  if (rest.length === 0) throw first
  const shown = rest.slice(0, shownAtMost - 1).map((error) => `\n${error.message}`)
  const hidden = errors.length - shown.length - 1
  const more = hidden > 0 ? `\nand ${hidden} more` : ''
  const message = first.message.slice(first.path.length + 2)
  throw new DataError(
    first.path,
    `${message}${shown.join('')}${more}\n(${errors.length} problems in the training data)`,
    {
      cause: new AggregateError(errors, 'problems in the training data'),
    },
  )
}
