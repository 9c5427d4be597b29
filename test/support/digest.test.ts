import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { type Digest, expectDigest } from './digest.ts'
import { type FormulaSpec, formulaValues } from './formula.ts'

interface DigestFixture {
  readonly tensors: readonly { readonly name: string; readonly spec: FormulaSpec; readonly digest: Digest }[]
}

const fixture: DigestFixture = JSON.parse(
  readFileSync(new URL('../fixtures/digest/digest.json', import.meta.url), 'utf8'),
)
const tight = { rms: 1e-7, max: 1e-6 }

describe('expectDigest', () => {
  for (const { name, spec, digest } of fixture.tensors) {
    test(`accepts ${name}`, () => {
      const errors = expectDigest(formulaValues(name, spec), digest, tight)
      expect(errors.max).toBeLessThan(1e-7)
    })

    test(`rejects changes of ${name}`, () => {
      const changed = (change: (values: Float32Array) => ArrayLike<number>) => () =>
        expectDigest(change(formulaValues(name, spec)), digest, tight)
      const element = digest.stride === undefined ? 3 : 3 * digest.stride
      expect(changed((v) => v.map((x, i) => (i === element ? x + 1e-3 : x)))).toThrow(`element ${element}`)
      expect(changed((v) => v.map((x, i) => (i === 1 ? x + 0.1 : x)))).toThrow(name)
      expect(changed((v) => v.map((x) => x * (1 + 1e-5)))).toThrow(name)
      expect(changed((v) => v.map((x) => -x))).toThrow('element 0')
      expect(changed((v) => v.toReversed())).toThrow(name)
      expect(changed((v) => v.map((x, i) => (i === 2 ? Number.NaN : x)))).toThrow('element 2 is not finite')
      expect(changed((v) => v.subarray(1))).toThrow('elements')
    })
  }

  test('measures errors against the scale of a tensor that is zero in exact arithmetic', () => {
    const digest: Digest = { id: 'zero', shape: [2], rms: 1e-18, scale: 0.5, values: [1e-18, -1e-18] }
    expect(() => expectDigest([1e-8, 0], digest, tight)).not.toThrow()
    expect(() => expectDigest([1e-3, 0], digest, tight)).toThrow('element 0')
  })
})
