import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  type FormulaKind,
  formulaIntegers,
  formulaKey,
  formulaValues,
  hash24,
  parameterValues,
  roundBfloat16,
} from './formula.ts'

interface FormulaFixture {
  readonly cases: readonly {
    readonly name: string
    readonly hash24: Readonly<Record<string, number>>
    readonly values: readonly {
      readonly kind: FormulaKind
      readonly scale: number
      readonly offset: number
      readonly bits: readonly string[]
    }[]
    readonly integers: readonly number[]
    readonly bfloat16: readonly string[]
  }[]
  readonly parameters: readonly { readonly name: string; readonly shape: number[]; readonly bits: readonly string[] }[]
}

const fixture: FormulaFixture = JSON.parse(
  readFileSync(new URL('../fixtures/formula/formula.json', import.meta.url), 'utf8'),
)

function bitsOf(values: Float32Array): string[] {
  return Array.from(new Uint32Array(values.slice().buffer), (word) => word.toString(16).padStart(8, '0'))
}

describe('formula', () => {
  for (const { name, hash24: hashes, values, integers, bfloat16 } of fixture.cases) {
    test(`'${name}' has the same bits as in Python`, () => {
      for (const [index, hash] of Object.entries(hashes)) expect(hash24(formulaKey(name), Number(index))).toBe(hash)
      for (const { bits, ...spec } of values)
        expect(bitsOf(formulaValues(name, { shape: [8], ...spec })), spec.kind).toEqual(bits)
      expect(Array.from(formulaIntegers(name, { shape: [8], kind: 'integer', scale: 49408 }))).toEqual(integers)
      expect(bitsOf(roundBfloat16(formulaValues(name, { shape: [8], kind: 'normal-like' })))).toEqual(bfloat16)
    })
  }

  test('model parameters follow the rule of their name', () => {
    for (const { name, shape, bits } of fixture.parameters)
      expect(bitsOf(parameterValues(name, shape).subarray(0, bits.length)), name).toEqual(bits)
  })

  test('normal-like values have zero mean and unit variance', () => {
    const values = formulaValues('moments', { shape: [100_000], kind: 'normal-like' })
    const mean = values.reduce((sum, v) => sum + v, 0) / values.length
    const variance = values.reduce((sum, v) => sum + v * v, 0) / values.length
    expect(Math.abs(mean)).toBeLessThan(0.01)
    expect(Math.abs(variance - 1)).toBeLessThan(0.02)
  })
})
