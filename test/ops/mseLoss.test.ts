import { describe, expect, it } from 'vitest'
import { mseLoss } from '../../lib/ops/mseLoss.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { array64 } from '../support/float64.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

opSuite(mseLoss, {
  oracle([prediction, target, weights]) {
    const loss = array64([])
    const samples = prediction!.shape[0]!
    const size = prediction!.data.length / samples
    prediction!.data.forEach((value, i) => {
      const weight = weights ? weights.data[Math.floor(i / size)]! : 1
      loss.data[0]! += (weight * (value - target!.data[i]!) ** 2) / (samples * size)
    })
    return loss
  },
  // The result is float32 whatever the inputs are, which the oracle sees rounded as the op does.
  tolerance: {
    float32: elementwiseTolerance.float32,
    bfloat16: elementwiseTolerance.float32,
    float16: elementwiseTolerance.float32,
  },
  gradientTolerance: {
    float32: { rms: 1e-6, max: 1e-6, relative: 1e-5 },
    bfloat16: { rms: 3e-3, max: 4e-3, relative: 2 ** -8 },
  },
  cases: [
    { name: 'one number', inputs: [{ shape: [1] }, { shape: [1], gradient: false }, null], options: {} },
    { name: 'one sample', inputs: [{ shape: [1, 5, 7] }, { shape: [1, 5, 7], gradient: false }, null], options: {} },
    {
      name: 'weighted samples',
      inputs: [
        { shape: [3, 4, 3] },
        { shape: [3, 4, 3], gradient: false },
        { shape: [3], dtype: 'float32', offset: 2, gradient: false },
      ],
      options: {},
    },
    {
      name: 'longer than a chunk',
      inputs: [
        { shape: [2, 65, 67, 4] },
        { shape: [2, 65, 67, 4], dtype: 'float32', gradient: false },
        { shape: [2], dtype: 'float32', offset: 1, gradient: false },
      ],
      options: {},
    },
  ],
})

fixtureSuite(mseLoss, { tolerance: elementwiseTolerance })

describe('mseLoss', () => {
  it('rejects weights that are not one for each sample', () => {
    expect(() => mseLoss(zeros([2, 3]), zeros([2, 3]), zeros([3]))).toThrow(
      'mseLoss: weights must be of shape [2], received [3]',
    )
  })
  it('rejects a target that wants a gradient', () => {
    const target = tensor([1, 2], [2])
    target.requiresGrad = true
    expect(() => mseLoss(zeros([2]), target, null)).toThrow('mseLoss: target must be without a gradient')
  })
})
