import { describe, expect, it } from 'vitest'
import { PhiloxStream, philox4x32 } from '../../lib/util/philox.ts'

const ones = 0xffffffff

describe('philox4x32', () => {
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [ones, ones, ones, ones],
      [ones, ones],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ] as const)('gives the known answer of counter %j', (counter, key, expected) => {
    expect(philox4x32(counter, key)).toEqual(expected)
  })
})

function take(stream: PhiloxStream, count = 6): number[] {
  return Array.from({ length: count }, () => stream.uint32())
}

describe('PhiloxStream', () => {
  it('repeats itself for an equal key', () => {
    expect(take(new PhiloxStream(7n, 'flip', 3, 1))).toEqual(take(new PhiloxStream(7, 'flip', 3, 1)))
  })

  it('keeps its values between versions', () => {
    expect(take(new PhiloxStream(42, 'plan', 1, 0), 5)).toMatchInlineSnapshot(`
      [
        172781090,
        2746451131,
        157624220,
        3948767245,
        687800297,
      ]
    `)
  })

  it('gives unrelated streams for keys that differ in any part', () => {
    const keys: [number | bigint, ...(string | number)[]][] = [
      [1],
      [2],
      [1, 'a'],
      [1, 'b'],
      [1, 'a', 'b'],
      [1, 'ab'],
      [1, 'b', 'a'],
      [1, 0],
      [1, 0, 0],
      [1, 1],
      [1, '1'],
      [1, ''],
      [1, -1],
      [1, 2 ** 40],
      [1n << 40n],
      [1, 'longer than eight bytes'],
      [1, 'longer than eight bytez'],
    ]
    const seen = new Set(keys.map((key) => take(new PhiloxStream(...key)).join()))
    expect(seen.size).toBe(keys.length)
  })

  it('spreads floats evenly over [0, 1)', () => {
    const stream = new PhiloxStream(5, 'floats')
    const counts = new Array<number>(10).fill(0)
    for (let i = 0; i < 20_000; i++) {
      const value = stream.float()
      expect(value >= 0 && value < 1).toBe(true)
      counts[Math.floor(value * 10)]!++
    }
    for (const count of counts) expect(Math.abs(count - 2000)).toBeLessThan(5 * Math.sqrt(2000))
  })

  it('draws integers below the bound, each equally often', () => {
    const stream = new PhiloxStream(5, 'integers')
    const counts = new Array<number>(7).fill(0)
    for (let i = 0; i < 14_000; i++) counts[stream.integer(7)]!++
    for (const count of counts) expect(Math.abs(count - 2000)).toBeLessThan(5 * Math.sqrt(2000))
    expect(stream.integer(1)).toBe(0)
  })

  it('does not favour small values when the bound is just over half the range', () => {
    const stream = new PhiloxStream(6, 'bias')
    const bound = 3 * 2 ** 30
    let low = 0
    for (let i = 0; i < 9000; i++) if (stream.integer(bound) < 2 ** 30) low++
    expect(Math.abs(low - 3000)).toBeLessThan(250)
  })

  it('shuffles in place into every order about equally often', () => {
    const counts = new Map<string, number>()
    for (let i = 0; i < 6000; i++) {
      const values = ['a', 'b', 'c']
      expect(new PhiloxStream(9, 'shuffle', i).shuffle(values)).toBe(values)
      counts.set(values.join(''), (counts.get(values.join('')) ?? 0) + 1)
    }
    expect(counts.size).toBe(6)
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(160)
  })

  it('rejects a bound or key that is not a whole number', () => {
    expect(() => new PhiloxStream(1).integer(0)).toThrow('bound must be a whole number from 1 to 2^32, received 0')
    expect(() => new PhiloxStream(0.5)).toThrow('seed must be a whole number')
    expect(() => new PhiloxStream(1, 0.5)).toThrow('a key part must be text or a whole number')
  })
})
