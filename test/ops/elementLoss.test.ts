import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { type ElementLossType, elementLoss } from '../../lib/ops/elementLoss.ts'
import { mseLoss } from '../../lib/ops/mseLoss.ts'
import { randomNormal, randomUniform, tensor, zeros } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { array64 } from '../support/float64.ts'
import { elementwiseTolerance, type InputSpec, type OpCase, opSuite } from '../support/opSuite.ts'

const loss: Readonly<Record<ElementLossType, (d: number, c: number) => number>> = {
  l2: (d) => d * d,
  l1: (d) => Math.abs(d),
  huber: (d, c) => 2 * c * (Math.sqrt(d * d + c * c) - c),
  smooth_l1: (d, c) => 2 * (Math.sqrt(d * d + c * c) - c),
}
const types = Object.keys(loss) as ElementLossType[]

/** A case of every type: an absolute value is tried where the differences of its oracle do not cross the corner. */
function casesOf(
  name: string,
  shape: readonly number[],
  extra: { weights?: true; mask?: true },
): OpCase<{ type: ElementLossType }>[] {
  const [n] = shape as readonly [number]
  const perSample = (offset: number): InputSpec => ({
    shape: [n],
    dtype: 'float32',
    offset,
    scale: offset / 2,
    gradient: false,
  })
  return types.map((type) => ({
    name: `${type}, ${name}`,
    inputs: [
      { shape, ...(type === 'l1' ? { offset: 3 } : {}) },
      { shape, gradient: false },
      extra.weights ? perSample(1) : null,
      type === 'huber' || type === 'smooth_l1' ? perSample(0.4) : null,
      extra.mask ? { shape: shape.slice(0, -1), dtype: 'float32', scale: 0.5, offset: 0.5, gradient: false } : null,
    ],
    options: { type },
  }))
}

opSuite(elementLoss, {
  oracle([prediction, target, weights, thresholds, mask], { type }) {
    const mean = array64([])
    const samples = prediction!.shape[0]!
    const size = prediction!.data.length / samples
    const channels = prediction!.shape.at(-1)!
    prediction!.data.forEach((value, i) => {
      const sample = Math.floor(i / size)
      const factor = (weights?.data[sample] ?? 1) * (mask?.data[Math.floor(i / channels)] ?? 1)
      mean.data[0]! += (factor * loss[type](value - target!.data[i]!, thresholds?.data[sample] ?? 0)) / (samples * size)
    })
    return mean
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
    ...casesOf('one sample', [1, 5, 7], {}),
    ...casesOf('weighted', [3, 4, 3], { weights: true }),
    ...casesOf('masked', [2, 3, 5, 3], { mask: true }),
    ...casesOf('masked and weighted, longer than a chunk', [2, 33, 34, 4], { weights: true, mask: true }),
  ],
})

fixtureSuite(elementLoss, { tolerance: elementwiseTolerance })

describe('elementLoss', () => {
  it('of squares without a mask has the bits of mseLoss, and so has its gradient', async () => {
    const [prediction, target] = [1, 2].map((seed) => randomNormal([2, 33, 31, 4], { seed })) as [
      ReturnType<typeof zeros>,
      ReturnType<typeof zeros>,
    ]
    const weights = randomUniform([2], { seed: 3 })
    prediction.requiresGrad = true
    const gradients: unknown[] = []
    const losses: unknown[] = []
    for (const loss of [
      mseLoss(prediction, target, weights),
      elementLoss(prediction, target, weights, null, null, { type: 'l2' }),
    ]) {
      losses.push(await loss.read())
      backward(loss)
      gradients.push(await prediction.grad!.read())
      prediction.grad = null
    }
    expect(losses[1]).toEqual(losses[0])
    expect(gradients[1]).toEqual(gradients[0])
  })

  it.each(types)('%s keeps what is not a number, in result and gradient', async (type) => {
    const prediction = tensor([Number.NaN, 1], [1, 2])
    prediction.requiresGrad = true
    const thresholds = type === 'huber' || type === 'smooth_l1' ? tensor([0.1], [1]) : null
    const loss = elementLoss(prediction, zeros([1, 2]), null, thresholds, null, { type })
    expect(await loss.read()).toEqual(Float32Array.of(Number.NaN))
    backward(loss)
    const gradient = (await prediction.grad!.read()) as Float32Array
    expect([...gradient].map(Number.isNaN)).toEqual([true, false])
  })

  it('of absolute values has no slope where there is no difference', async () => {
    const prediction = tensor([1, 2, -3], [1, 3])
    prediction.requiresGrad = true
    backward(elementLoss(prediction, tensor([1, 1, 1], [1, 3]), null, null, null, { type: 'l1' }))
    expect(await prediction.grad!.read()).toEqual(Float32Array.of(0, 1 / 3, -1 / 3))
  })

  it('does not lose small differences below the threshold', async () => {
    const small = tensor([1e-5], [1, 1])
    const one = tensor([1], [1])
    const found = Number((await elementLoss(small, zeros([1, 1]), null, one, null, { type: 'smooth_l1' }).read())[0])
    expect(found / 1e-10).toBeCloseTo(1, 5)
  })

  it('asks for thresholds where a type has them, and refuses them elsewhere', () => {
    const x = zeros([2, 3])
    expect(() => elementLoss(x, x, null, null, null, { type: 'huber' })).toThrow(
      'elementLoss: thresholds must be a Tensor for huber, received null',
    )
    expect(() => elementLoss(x, x, null, zeros([2]), null, { type: 'l1' })).toThrow(
      'elementLoss: thresholds must be null for l1, received a Tensor',
    )
  })

  it('rejects masks of another shape and types that do not exist', () => {
    const x = zeros([2, 3, 4])
    expect(() => elementLoss(x, x, null, null, zeros([2, 3, 4]), { type: 'l2' })).toThrow(
      'elementLoss: mask must be of shape [2, 3], received [2, 3, 4]',
    )
    expect(() => elementLoss(x, x, null, null, null, { type: 'l3' as 'l2' })).toThrow(
      'elementLoss: type must be l2 or l1 or huber or smooth_l1',
    )
  })
})
