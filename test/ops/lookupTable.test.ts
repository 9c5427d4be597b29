import { expect, it } from 'vitest'
import { lookupTable } from '../../lib/ops/lookupTable.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'

const table = tensor(
  Uint8Array.from({ length: 256 }, (_, v) => 255 - v),
  [256],
)

it.each([1, 255, 16384, 40001])('replaces each of %i bytes', async (count) => {
  const x = Uint8Array.from({ length: count }, (_, i) => (i * 37) % 256)
  expect(await lookupTable(tensor(x, [count]), table).read()).toEqual(x.map((v) => 255 - v))
})

it('keeps the shape', () => {
  expect(lookupTable(zeros([5, 7, 3], { dtype: 'uint8' }), table).shape).toEqual([5, 7, 3])
})

it('says what is wrong', () => {
  expect(() => lookupTable(zeros([3]), table)).toThrow('lookupTable: x must be uint8, received float32')
  expect(() => lookupTable(table, zeros([255], { dtype: 'uint8' }))).toThrow('lookupTable: table')
})
