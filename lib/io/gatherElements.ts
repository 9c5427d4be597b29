/**
 * The elements of a strided view in row-major order.
 *
 * @param span the bytes from the view's first element to its last
 * @param elementBytes 1, 2, 4 or 8
 * @param strides in elements
 */
export function gatherElements(
  span: Uint8Array,
  elementBytes: number,
  shape: readonly number[],
  strides: readonly number[],
): Uint8Array {
  const count = shape.reduce((product, size) => product * size, 1)
  const result = new Uint8Array(count * elementBytes)
  const from = elementsOf(span, elementBytes)
  const to = elementsOf(result, elementBytes)
  const index = new Array<number>(shape.length).fill(0)
  const last = shape.length - 1
  const rowLength = shape[last] ?? 1
  const rowStride = strides[last] ?? 1
  for (let written = 0, start = 0; written < count; ) {
    for (let i = 0; i < rowLength; i++) to[written++] = from[start + i * rowStride] as never
    // The next row: the last axis but one counts up, and carries into those before it.
    for (let axis = last - 1; axis >= 0; axis--) {
      index[axis] = (index[axis] as number) + 1
      start += strides[axis] as number
      if ((index[axis] as number) < (shape[axis] as number)) break
      start -= (shape[axis] as number) * (strides[axis] as number)
      index[axis] = 0
    }
  }
  return result
}

function elementsOf(bytes: Uint8Array, elementBytes: number): Uint8Array | Uint16Array | Uint32Array | BigUint64Array {
  const { buffer, byteOffset, byteLength } = bytes
  if (elementBytes === 8) return new BigUint64Array(buffer, byteOffset, byteLength / 8)
  if (elementBytes === 4) return new Uint32Array(buffer, byteOffset, byteLength / 4)
  return elementBytes === 2 ? new Uint16Array(buffer, byteOffset, byteLength / 2) : bytes
}
