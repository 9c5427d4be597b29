import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { expectDigest } from './digest.ts'
import { type FixtureDType, loadFixture, loadOpFixture, opInput } from './fixtureCases.ts'

const ops = readdirSync(new URL('../fixtures/ops', import.meta.url)).map((file) => file.replace('.json', ''))

describe('op fixtures', () => {
  test('every op has cases with unique names, and a gradient wherever there is an output gradient', () => {
    expect(ops).toContain('conv2d')
    for (const op of ops) {
      const fixture = loadOpFixture(op)
      expect(fixture.op).toBe(op)
      const names = fixture.cases.map(({ name }) => name)
      expect(new Set(names).size, op).toBe(names.length)
      for (const { dy, float32, name } of fixture.cases)
        expect(float32.gradients !== undefined, `${op}/${name}`).toBe(dy !== undefined)
    }
  })

  for (const dtype of ['float32', 'bfloat16'] as const satisfies readonly FixtureDType[]) {
    test(`silu and its gradient computed here agree with the ${dtype} references`, () => {
      for (const opCase of loadOpFixture('silu').cases) {
        const x = opInput('silu', opCase, 'x', dtype)
        const dy = opInput('silu', opCase, 'dy', dtype)
        const sigmoid = Float64Array.from(x, (v) => 1 / (1 + Math.exp(-v)))
        const y = sigmoid.map((s, i) => s * x[i]!)
        const dx = sigmoid.map((s, i) => dy[i]! * s * (1 + x[i]! * (1 - s)))
        const reference = opCase[dtype]!
        expectDigest(y, reference.output, { rms: 1e-8, max: 1e-7 })
        expectDigest(dx, reference.gradients!.x!, { rms: 1e-8, max: 1e-7 })
      }
    })
  }

  test('the bfloat16 reference of a case differs from the float32 one', () => {
    const opCase = loadOpFixture('silu').cases[0]!
    const values = opInput('silu', opCase, 'x').map((v) => v / (1 + Math.exp(-v)))
    expect(() => expectDigest(values, opCase.bfloat16!.output, { rms: 1e-6, max: 1e-6 })).toThrow('silu/level0/y')
  })

  test('rejects an input the case does not have', () => {
    const opCase = loadOpFixture('silu').cases[0]!
    expect(() => opInput('silu', opCase, 'weight')).toThrow('silu/level0/weight: the fixture has no such input')
  })

  test('the quantiser maps are sorted and hold 256 codes', () => {
    const { maps } = loadFixture<{ maps: Record<'signed' | 'unsigned', number[]> }>('optim/quantizeBlockwise.json')
    for (const map of [maps.signed, maps.unsigned]) {
      expect(map).toHaveLength(256)
      expect(map).toEqual(map.toSorted((a, b) => a - b))
    }
  })
})
