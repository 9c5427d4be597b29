import { describe, expect, test } from 'vitest'
import { expectDigest } from './digest.ts'
import { unpackCodes } from './fixtureCases.ts'
import { formulaValues } from './formula.ts'
import { loadOptimFixture } from './optimFixture.ts'

describe('optimizer fixtures', () => {
  test('three AdamW steps computed here agree with every digest', () => {
    for (const { name, inputs, options, steps } of loadOptimFixture('adamW').cases) {
      const { learningRate, beta1, beta2, eps, weightDecay } = options
      const p = Float64Array.from(formulaValues(`adamW/${name}/p`, inputs.p!))
      const m = new Float64Array(p.length)
      const v = new Float64Array(p.length)
      steps.forEach((expected, index) => {
        const t = index + 1
        const g = formulaValues(`adamW/${name}/g${t}`, inputs[`g${t}`]!)
        for (let i = 0; i < p.length; i++) {
          m[i] = beta1 * m[i]! + (1 - beta1) * g[i]!
          v[i] = beta2 * v[i]! + (1 - beta2) * g[i]! ** 2
          const mean = m[i]! / (1 - beta1 ** t)
          const root = Math.sqrt(v[i]! / (1 - beta2 ** t))
          p[i] = p[i]! * (1 - learningRate * weightDecay) - (learningRate * mean) / (root + eps)
        }
        for (const [actual, digest] of [
          [p, expected.p],
          [m, expected.m],
          [v, expected.v],
        ] as const)
          expectDigest(actual, digest, { rms: 1e-8, max: 1e-7 })
      })
    }
  })

  test('codes decode to the digests of the dequantised values', () => {
    const { maps, cases } = loadOptimFixture('quantizeBlockwise')
    for (const { options, codes, absmax, dequantized } of cases) {
      const map = options.signed ? maps.signed : maps.unsigned
      const values = Float32Array.from(
        unpackCodes(codes),
        (code, i) => map[code]! * absmax[Math.floor(i / options.blockSize)]!,
      )
      expectDigest(values, dequantized, { rms: 1e-6, max: 1e-6 })
    }
  })

  test('a midpoint between two codes goes to the even one', () => {
    const { midpointCodes } = loadOptimFixture('quantizeBlockwise')
    const expected = Array.from({ length: 255 }, (_, k) => k + (k % 2))
    expect(midpointCodes.signed).toEqual(expected)
    expect(midpointCodes.unsigned).toEqual(expected)
  })

  test('an AdamW8bit case holds one absmax for each block of 256', () => {
    for (const { inputs, steps } of loadOptimFixture('adamW8bit').cases) {
      const count = inputs.p!.shape.reduce((a, b) => a * b, 1)
      for (const { absmax1, absmax2, c1 } of steps) {
        expect(absmax1).toHaveLength(Math.ceil(count / 256))
        expect(absmax2).toHaveLength(Math.ceil(count / 256))
        if (c1 !== undefined) expect(unpackCodes(c1)).toHaveLength(count)
      }
    }
  })
})
