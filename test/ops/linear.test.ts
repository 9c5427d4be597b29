import { describe, expect, it } from 'vitest'
import { type LinearOptions, linear } from '../../lib/ops/linear.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { type Array64, array64 } from '../support/float64.ts'
import { gelu64, quickGelu64, silu64 } from '../support/functions64.ts'
import { gemmTolerance, opSuite } from '../support/opSuite.ts'

const activations64 = { silu: silu64, gelu: gelu64, quickGelu: quickGelu64 } as const

/** x [rows, in] times the transpose of weight [out, in] */
function project(x: Array64, weight: Array64): Array64 {
  const [out, size] = weight.shape as [number, number]
  const rows = x.data.length / size
  const y = array64([rows, out])
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < out; j++) {
      let sum = 0
      for (let k = 0; k < size; k++) sum += x.data[i * size + k]! * weight.data[j * size + k]!
      y.data[i * out + j] = sum
    }
  return y
}

function oracle(inputs: readonly (Array64 | null)[], { activation, loraScale = 1 }: LinearOptions): Array64 {
  const [x, weight, bias, residual, down, up] = inputs
  const out = weight!.shape[0]!
  const y = array64([...x!.shape.slice(0, -1), out], project(x!, weight!).data)
  const branch = down && up ? project(project(x!, down), up).data : null
  y.data.forEach((value, i) => {
    const pre = value + (bias?.data[i % out] ?? 0) + loraScale * (branch?.[i] ?? 0)
    y.data[i] = (activation ? activations64[activation](pre) : pre) + (residual?.data[i] ?? 0)
  })
  return y
}

const lora = [
  { shape: [4, 21], scale: 0.5 },
  { shape: [37, 4], scale: 0.5 },
]

opSuite(linear, {
  gpu: true,
  oracle,
  tolerance: gemmTolerance,
  // Behind an activation the argument and the gradient are rounded to bfloat16 once more.
  gradientTolerance: {
    float32: { rms: 4e-6, max: 4e-5, relative: 1e-5 },
    bfloat16: { rms: 8e-3, max: 2e-2, relative: 2 ** -6 },
  },
  cases: [
    { name: 'weight alone', inputs: [{ shape: [5, 7] }, { shape: [6, 7] }, null, null, null, null], options: {} },
    {
      name: 'bias and residual',
      inputs: [{ shape: [2, 19, 34] }, { shape: [50, 34] }, { shape: [50] }, { shape: [2, 19, 50] }, null, null],
      options: {},
    },
    ...(['silu', 'gelu', 'quickGelu'] as const).map((activation) => ({
      name: `${activation} and residual`,
      inputs: [{ shape: [9, 40] }, { shape: [33, 40], scale: 0.3 }, { shape: [33] }, { shape: [9, 33] }, null, null],
      options: { activation },
    })),
    {
      name: 'low-rank branch',
      inputs: [{ shape: [30, 21] }, { shape: [37, 21] }, { shape: [37] }, null, ...lora],
      options: { loraScale: 0.7 },
    },
    {
      name: 'low-rank branch, activation, residual',
      inputs: [{ shape: [30, 21] }, { shape: [37, 21], scale: 0.3 }, null, { shape: [30, 37] }, ...lora],
      options: { activation: 'silu' as const },
    },
    {
      name: 'frozen layer, float32 low-rank branch alone is trained',
      inputs: [
        { shape: [30, 21] },
        { shape: [37, 21], gradient: false },
        { shape: [37], gradient: false },
        null,
        { shape: [4, 21], scale: 0.5, dtype: 'float32' as const },
        { shape: [37, 4], scale: 0.5, dtype: 'float32' as const },
      ],
      options: { loraScale: 2 },
    },
    {
      name: 'only x takes a gradient',
      inputs: [{ shape: [1, 50] }, { shape: [70, 50], gradient: false }, null, null, null, null],
      options: {},
    },
    {
      name: 'one dimension',
      inputs: [{ shape: [12] }, { shape: [5, 12] }, { shape: [5] }, null, null, null],
      options: {},
    },
  ],
})

fixtureSuite(linear, {
  tolerance: gemmTolerance,
  gradientTolerance: { float32: { rms: 2e-6, max: 2e-5 }, bfloat16: { rms: 5e-3, max: 1.5e-2, relative: 2 ** -7 } },
})

describe('linear', () => {
  const zeros = (...shape: number[]): Tensor => tensor(new Float32Array(shape.reduce((a, b) => a * b)), shape)
  it('rejects a weight for other inputs', () => {
    expect(() => linear(zeros(2, 3), zeros(4, 5), null, null, null, null)).toThrow(
      'linear: weight must be of shape [out, 3], received [4, 5]',
    )
  })
  it('rejects half a low-rank branch', () => {
    expect(() => linear(zeros(2, 3), zeros(4, 3), null, null, zeros(2, 3), null)).toThrow(
      'linear: loraUp must be given together with the other, received null',
    )
  })
  it('names the nearest activation', () => {
    const options = { activation: 'quickgelu' as 'quickGelu' }
    expect(() => linear(zeros(2, 3), zeros(4, 3), null, null, null, null, options)).toThrow(
      'silu, gelu or quickGelu, received quickgelu. Did you mean "quickGelu"?',
    )
  })
})
