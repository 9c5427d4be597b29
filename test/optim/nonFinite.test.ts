import { describe, expect, it } from 'vitest'
import { HeavyBall } from '../../examples/customOptimizer.ts'
import { AdamW } from '../../lib/optim/adamW.ts'
import { findNonFinite, findNonFiniteValues } from '../../lib/optim/nonFinite.ts'
import { inEvaluation, type Optimizer } from '../../lib/optim/optimizer.ts'
import { SGDScheduleFree } from '../../lib/optim/scheduleFree.ts'
import { full, tensor, zeros } from '../../lib/tensor/create.ts'
import { memory, resetPeak } from '../../lib/tensor/runtime.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'

function threeParameters(): AdamW {
  const params = ['down', 'up', 'alpha', 'bias'].map((name) => ({ name, master: full([3], 1) }))
  const gradients = [[1, 2, 3], [1, Number.NaN, 3], [1e38, 1e38, 1], null]
  params.forEach(({ master }, i) => {
    master.grad = gradients[i] ? tensor(gradients[i], [3]) : null
  })
  params[2]!.master.grad = tensor([1, 2, Number.NEGATIVE_INFINITY], [3])
  return new AdamW([{ params }])
}

describe('findNonFinite', () => {
  it('names the parameters whose gradients are not finite, and frees what it used', async () => {
    const optimizer = threeParameters()
    const before = await baselineBuffers()
    expect(await findNonFinite(optimizer)).toEqual(['up', 'alpha'])
    expect(await liveBuffers()).toBe(before)
  })
  it('names those of an optimizer of the user', async () => {
    const params = threeParameters().parameters()
    const optimizer = new HeavyBall([{ name: 'all', params, learningRate: 1 }])
    expect(await findNonFinite(optimizer)).toEqual(['up', 'alpha'])
  })
  it('counts the gradients of an optimizer that names none', async () => {
    const own = threeParameters()
    const plain = { gradients: () => own.gradients() } as unknown as Optimizer
    expect(await findNonFinite(plain)).toEqual(['gradient 1', 'gradient 2'])
  })
})

describe('findNonFiniteValues', () => {
  const size = 100_000
  const parametersOf = (dtype: 'float32' | 'bfloat16') =>
    Array.from({ length: 8 }, (_, i) => ({ name: `p${i}`, master: zeros([size], { dtype }) }))

  it('names them, of every float type', async () => {
    const params = [...parametersOf('float32'), { name: 'half', master: full([3], Number.NaN, { dtype: 'bfloat16' }) }]
    expect(await findNonFiniteValues(params)).toEqual(['half'])
    params[2]!.master = full([1], Number.POSITIVE_INFINITY)
    expect(await findNonFiniteValues(params)).toEqual(['p2', 'half'])
    expect(await findNonFiniteValues(parametersOf('float32'))).toEqual([])
  })

  it('has one float32 copy of 16-bit values at a time', async () => {
    const params = parametersOf('bfloat16')
    const before = await baselineBuffers()
    const { liveBytes } = memory()
    resetPeak()
    expect(await findNonFiniteValues(params)).toEqual([])
    expect(memory().peakBytes - liveBytes).toBeLessThan(2 * 4 * size)
    expect(await liveBuffers()).toBe(before)
  })
})

describe('inEvaluation', () => {
  it('shows the averaged values and goes back to those in training, after an error too', async () => {
    const master = full([2], 1)
    const optimizer = new SGDScheduleFree([{ params: [{ name: 'p', master }] }], { learningRate: 0.5 })
    for (const g of [1, 2]) {
      master.grad = full([2], g)
      optimizer.step()
      optimizer.zeroGrad()
    }
    const read = async (): Promise<number> => Number((await master.read())[0])
    const training = await read()
    // z: 0.5, then -0.5; their average is 0; y lies a tenth of the way from there to z.
    expect(await inEvaluation(optimizer, read)).toBeCloseTo(0, 6)
    expect(training).toBeCloseTo(-0.05, 6)
    await expect(inEvaluation(optimizer, () => Promise.reject(new Error('no room')))).rejects.toThrow('no room')
    expect(await read()).toBeCloseTo(training, 6)
  })
})
