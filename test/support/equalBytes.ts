/**
 * Set up for every test file: arrays of numbers with the same bytes are equal at once. vitest compares them element by element, which
 * took minutes of all tests together. Where bytes differ, it still decides, and shows what differs.
 */
import { expect } from 'vitest'

function bytesOf(value: unknown): Buffer | null {
  return ArrayBuffer.isView(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : null
}

expect.addEqualityTesters([
  (a, b) => {
    const [left, right] = [bytesOf(a), bytesOf(b)]
    const sameKind = left !== null && Object.getPrototypeOf(a) === Object.getPrototypeOf(b)
    return sameKind && right !== null && left.equals(right) ? true : undefined
  },
])
