import { describe, expect, it } from 'vitest'
import { posteriorSample } from '../../lib/ops/posteriorSample.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { array64 } from '../support/float64.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

opSuite(posteriorSample, {
  oracle([moments, noise]) {
    const z = array64(noise!.shape)
    const c = noise!.shape.at(-1)!
    for (let i = 0; i < z.data.length; i++) {
      const at = Math.floor(i / c) * 2 * c + (i % c)
      const logvar = Math.min(20, Math.max(-30, moments!.data[at + c]!))
      z.data[i] = moments!.data[at]! + Math.exp(logvar / 2) * noise!.data[i]!
    }
    return z
  },
  tolerance: {
    float32: elementwiseTolerance.float32,
    bfloat16: elementwiseTolerance.float32,
    float16: elementwiseTolerance.float32,
  },
  cases: [
    { name: 'latents', inputs: [{ shape: [2, 8, 9, 8] }, { shape: [2, 8, 9, 4], dtype: 'float32' }], options: {} },
    { name: 'odd channels', inputs: [{ shape: [5, 38] }, { shape: [5, 19], dtype: 'float32' }], options: {} },
    {
      name: 'clamped',
      inputs: [
        { shape: [3, 2], data: [1, 40, 2, -90, 3, 0] },
        { shape: [3, 1], dtype: 'float32' },
      ],
      options: {},
    },
  ],
})

describe('posteriorSample', () => {
  it('rejects noise of another shape', () => {
    expect(() => posteriorSample(tensor([1, 2], [1, 2]), tensor([1, 2], [1, 2]))).toThrow(
      'posteriorSample: noise must be of shape [1, 1], received [1, 2]',
    )
  })
})
