import { describe, expect, it } from 'vitest'
import { dropout } from '../../lib/ops/dropout.ts'
import { full } from '../../lib/tensor/create.ts'
import { array64 } from '../support/float64.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

/** Philox 4x32-10, written with bigints. */
function philox(key: bigint, counter: readonly bigint[]): bigint[] {
  const mask = 0xffffffffn
  let [c0, c1, c2, c3] = counter as [bigint, bigint, bigint, bigint]
  let k0 = key & mask
  let k1 = key >> 32n
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * c0
    const p1 = 0xcd9e8d57n * c2
    ;[c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & mask, (p0 >> 32n) ^ c3 ^ k1, p0 & mask]
    k0 = (k0 + 0x9e3779b9n) & mask
    k1 = (k1 + 0xbb67ae85n) & mask
  }
  return [c0, c1, c2, c3]
}

function uniforms(count: number, seed: bigint, stream: bigint): number[] {
  const values: number[] = []
  for (let block = 0n; values.length < count; block++)
    for (const word of philox(seed, [block, 0n, stream & 0xffffffffn, stream >> 32n]))
      values.push(Number(word >> 8n) * 2 ** -24)
  return values.slice(0, count)
}

opSuite(dropout, {
  gpu: true,
  oracle([x], { p, seed, stream }) {
    const u = uniforms(x!.data.length, seed, stream)
    return array64(
      x!.shape,
      x!.data.map((value, i) => (u[i]! >= p ? value / (1 - p) : 0)),
    )
  },
  tolerance: elementwiseTolerance,
  cases: [
    { name: 'odd length', inputs: [{ shape: [7, 13] }], options: { p: 0.3, seed: 5n, stream: 1n } },
    {
      name: 'wide keys',
      inputs: [{ shape: [3, 2003] }],
      options: { p: 0.1, seed: 0xfedcba9876543210n, stream: 0x123456789abcdef0n },
    },
    { name: 'nothing dropped', inputs: [{ shape: [65] }], options: { p: 0, seed: 0n, stream: 0n } },
  ],
})

describe('dropout', () => {
  it('uses the generator whose known answer is this', () => {
    expect(philox(0n, [0n, 0n, 0n, 0n])).toEqual([0x6627e8d5n, 0xe169c58dn, 0xbc57ac4cn, 0x9b00dbd8n])
  })
  it('drops another set for another stream', async () => {
    const x = full([4000], 1)
    const a = (await dropout(x, { p: 0.5, seed: 1n, stream: 1n }).read()) as Float32Array
    const b = (await dropout(x, { p: 0.5, seed: 1n, stream: 2n }).read()) as Float32Array
    const both = a.filter((value, i) => value > 0 && b[i]! > 0).length
    expect(both).toBeGreaterThan(880)
    expect(both).toBeLessThan(1120)
  })
  it('rejects p of 1', () => {
    expect(() => dropout(full([2], 1), { p: 1, seed: 1n, stream: 1n })).toThrow(
      'dropout: p must be in [0, 1), received 1',
    )
  })
})
