import { describe, expect, it } from 'vitest'
import { layerNorm } from '../../lib/ops/layerNorm.ts'
import { full, zeros } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { type Array64, array64 } from '../support/float64.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

function oracle(
  [x, weight, bias]: readonly (Array64 | null)[],
  { eps = 1e-5 }: { readonly eps?: number } = {},
): Array64 {
  const { shape, data } = x!
  const c = shape.at(-1)!
  const y = array64(shape)
  for (let row = 0; row < data.length; row += c) {
    let mean = 0
    for (let i = 0; i < c; i++) mean += data[row + i]! / c
    let variance = 0
    for (let i = 0; i < c; i++) variance += (data[row + i]! - mean) ** 2 / c
    const rstd = 1 / Math.sqrt(variance + eps)
    for (let i = 0; i < c; i++) y.data[row + i] = (data[row + i]! - mean) * rstd * weight!.data[i]! + bias!.data[i]!
  }
  return y
}

const tolerance = {
  float32: { rms: 2e-7, max: 2e-6, relative: 1e-6 },
  bfloat16: elementwiseTolerance.bfloat16,
} as const
const gradientTolerance = {
  float32: { rms: 2e-6, max: 1e-5, relative: 1e-5 },
  bfloat16: { rms: 7.5e-3, max: 1.2e-2, relative: 2 ** -7 },
} as const

opSuite(layerNorm, {
  gpu: true,
  oracle,
  tolerance,
  gradientTolerance,
  cases: [
    { name: 'short rows', inputs: [{ shape: [9, 5] }, { shape: [5] }, { shape: [5] }], options: {} },
    {
      name: 'odd rows',
      inputs: [{ shape: [2, 7, 83], offset: 2 }, { shape: [83], offset: 1 }, { shape: [83] }],
      options: {},
    },
    {
      name: 'several blocks of rows, parameters in float32',
      inputs: [{ shape: [301, 33] }, { shape: [33], dtype: 'float32' }, { shape: [33], dtype: 'float32' }],
      options: { eps: 1e-6 },
    },
    {
      name: 'only the input wants a gradient',
      inputs: [{ shape: [3, 320] }, { shape: [320], gradient: false }, { shape: [320], gradient: false }],
      options: {},
    },
    {
      name: 'only the parameters do',
      inputs: [{ shape: [3, 20], gradient: false }, { shape: [20] }, { shape: [20] }],
      options: {},
    },
  ],
})

fixtureSuite(layerNorm, { tolerance, gradientTolerance })

describe('layerNorm', () => {
  it('rejects a bias of another length', () => {
    expect(() => layerNorm(zeros([2, 6]), full([6], 1), zeros([1]))).toThrow(
      'layerNorm: bias must be of shape [6], received [1]',
    )
  })
  it('rejects an eps of zero', () => {
    expect(() => layerNorm(zeros([2, 6]), full([6], 1), zeros([6]), { eps: 0 })).toThrow(
      'layerNorm: eps must be positive',
    )
  })
})
