/**
 * Repeats of regularization pictures, so that they number about as many as the training pictures.
 *
 * Pictures are taken in order, each with its own repeats, until there are at least `wanted`; while there are fewer, they are
 * gone through again with one more repeat each. What comes after the end is not used at all.
 *
 * @param repeats each picture's own number of repeats, in order
 * @param wanted number of training pictures, repeats included
 * @returns the repeats to use, in the same order; 0 for an unused picture
 */
export function balanceRegularization(repeats: readonly number[], wanted: number): number[] {
  const balanced = repeats.map(() => 0)
  if (repeats.length === 0) return balanced
  let count = 0
  for (let turn = 0; count < wanted; turn++) {
    const index = turn % repeats.length
    const added = turn < repeats.length ? repeats[index]! : 1
    balanced[index]! += added
    count += added
  }
  return balanced
}
