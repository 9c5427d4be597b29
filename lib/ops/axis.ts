import { formatShape, type Shape } from '../tensor/shape.ts'
import { ArgumentError } from '../util/errors.ts'

/** The axis counted from the front; negative axes count from the end. Throws for one that `shape` does not have. */
export function normaliseAxis(op: string, shape: Shape, axis: number): number {
  const index = axis < 0 ? shape.length + axis : axis
  if (!Number.isInteger(axis) || index < 0 || index >= shape.length)
    throw new ArgumentError(op, 'axis', `an axis of ${formatShape(shape)}`, String(axis))
  return index
}

/** Checks that [start, end) is a non-empty range within an axis of `size`. */
export function expectRange(op: string, size: number, start: number, end: number): void {
  if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || end <= start || end > size)
    throw new ArgumentError(op, 'range', `a non-empty range within [0, ${size})`, `[${start}, ${end})`)
}
