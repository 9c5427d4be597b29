import { describe, expect, it } from 'vitest'
import { factoredAxes, factoredShapes, shapeInFile } from '../../lib/optim/fileAxes.ts'
import {
  AdaFactor,
  AdamW,
  Came,
  findNonFinite,
  Muon,
  type OptimizerParameter,
  StableAdamW,
} from '../../lib/optim/index.ts'
import { clipGradients } from '../../lib/optim/optimizer.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'
import { fromBFloat16Bits, pseudoRandom, roundToBFloat16 } from '../support/float64.ts'

function parameter(shape: readonly number[], layout?: OptimizerParameter['layout']): OptimizerParameter {
  const size = shape.reduce((a, b) => a * b, 1)
  const master = tensor(pseudoRandom('p', size), shape)
  master.grad = tensor(pseudoRandom('g', size), shape)
  return { name: 'x', master, ...(layout ? { layout } : {}) }
}

describe('the axes of a parameter', () => {
  it.each([
    [[6], undefined, null, null, [6]],
    [[4, 6], undefined, [1, 4, 6, 1], [1, 4, 6, 1], [4, 6]],
    [[2, 4, 6], undefined, [2, 4, 6, 1], [2, 4, 6, 1], [2, 4, 6]],
    [[8, 3, 3, 5], undefined, [8, 3, 3, 5], [1, 8, 45, 1], [8, 5, 3, 3]],
    [[8, 3, 3, 5], 'same', [24, 3, 5, 1], [24, 3, 5, 1], [8, 3, 3, 5]],
    [[8, 5], 'conv1x1', [8, 1, 1, 5], [1, 8, 5, 1], [8, 5, 1, 1]],
  ] as const)('are those of files: %j laid out as %s', (shape, layout, axes, flat, inFile) => {
    const one = parameter(shape, layout)
    expect(factoredAxes(one, false)).toEqual(axes)
    expect(factoredAxes(one, true)).toEqual(flat)
    expect(shapeInFile(one)).toEqual(inFile)
  })
  it('give the shapes of the sums', () => {
    expect(factoredShapes([1, 4, 6, 1])).toEqual([[4], [6]])
    expect(factoredShapes([8, 2, 3, 5])).toEqual([
      [8, 2, 5],
      [8, 3, 5],
    ])
  })
  it('decide the states that are kept', () => {
    const shapes = (flattenConv: boolean): unknown => {
      const { tensors } = new AdaFactor([{ params: [parameter([8, 3, 3, 5])] }], { flattenConv }).state()
      return [...tensors].map(([key, { shape }]) => [key, shape])
    }
    expect(shapes(false)).toEqual([
      ['x.state1', [8, 3, 5]],
      ['x.state2', [8, 3, 5]],
    ])
    expect(shapes(true)).toEqual([
      ['x.state1', [8]],
      ['x.state2', [45]],
    ])
  })
  it('make a 1x1 convolution no matrix to factor: its sums are its own squares', async () => {
    const read = async (layout: OptimizerParameter['layout'], shape: readonly number[]): Promise<unknown> => {
      const one = parameter(shape, layout)
      new AdaFactor([{ params: [one] }], { relativeStep: false, scaleParameter: false, learningRate: 0.1 }).step()
      return Array.from((await one.master.read()) as Float32Array, (x) => x.toFixed(6))
    }
    expect(await read('conv1x1', [8, 5])).toEqual(await read('same', [40]))
    expect(await read('same', [8, 5])).not.toEqual(await read('same', [40]))
  })
})

describe('effectiveLearningRates', () => {
  it('gives the rate of the first parameter of each group', async () => {
    const [first, second, other] = ['a', 'b', 'c'].map((name) => ({ ...parameter([2, 2]), name })) as [
      OptimizerParameter,
      OptimizerParameter,
      OptimizerParameter,
    ]
    const size = Math.sqrt(((await first.master.read()) as Float32Array).reduce((sum, x) => sum + x * x, 0) / 4)
    const groups = [{ params: [first, second] }, { params: [other], scaleParameter: false }]
    const optimizer = new AdaFactor(groups, { learningRate: 0.5 })
    expect(await optimizer.effectiveLearningRates()).toEqual([0.5, 0.5])
    second.master.grad = null
    optimizer.step()
    const [scaled, plain] = await optimizer.effectiveLearningRates()
    expect(scaled).toBeCloseTo(0.01 * size, 7)
    expect(plain).toBeCloseTo(0.01, 7)
    optimizer.loadState(optimizer.state())
    expect(await optimizer.effectiveLearningRates()).toEqual([0.5, 0.5])
  })
  it('shows where a stable step was shortened', async () => {
    const one = parameter([50])
    const optimizer = new StableAdamW([{ params: [one] }], { learningRate: 0.1 })
    for (const scale of [1, 1, 1, 100]) {
      one.master.grad = tensor(
        pseudoRandom('g', 50).map((x) => x * scale),
        [50],
      )
      optimizer.step()
      const [rate] = await optimizer.effectiveLearningRates()
      if (scale === 1) expect(rate).toBeCloseTo(0.1, 6)
      else expect(rate).toBeLessThan(0.06)
    }
  })
})

describe.each([
  ['adaFactor', AdaFactor],
  ['came', Came],
  ['stableAdamW', StableAdamW],
  ['muon', Muon],
] as const)('%s', (_, Optimizer) => {
  it('steps from the gradient of a copy and keeps the copy current', async () => {
    const plain = parameter([6, 7])
    const copied = parameter([6, 7])
    const copy = zeros([6, 7], { dtype: 'bfloat16' })
    copy.grad = copied.master.grad
    copied.master.grad = null
    new Optimizer([{ params: [plain] }]).step()
    const optimizer = new Optimizer([{ params: [{ ...copied, copy }] }])
    optimizer.step()
    const values = (await copied.master.read()) as Float32Array
    expect(values).toEqual(await plain.master.read())
    expect(fromBFloat16Bits((await copy.read()) as Uint16Array)).toEqual(values.map(roundToBFloat16))
    optimizer.zeroGrad()
    expect(copy.grad).toBeNull()
    expect(optimizer.gradients()).toEqual([])
  })
  it('steps nothing when the norm is not finite, scalars neither', async () => {
    const params = [parameter([3, 2]), { ...parameter([]), name: 'scalar' }]
    const before = await Promise.all(params.map(({ master }) => master.read()))
    params[0]!.master.grad = tensor([Number.POSITIVE_INFINITY, 0, 0, 0, 0, 0], [3, 2])
    const optimizer = new Optimizer([{ params }])
    optimizer.step({ clip: clipGradients(optimizer, 1) })
    expect(await findNonFinite(optimizer)).toEqual(['x'])
    expect(await Promise.all(params.map(({ master }) => master.read()))).toEqual(before)
  })
  it('refuses parameters that are not float32', () => {
    const master = zeros([2, 2], { dtype: 'bfloat16' })
    expect(() => new Optimizer([{ params: [{ name: 'half', master }] }])).toThrow('half must be a contiguous float32')
  })
})

describe('muon', () => {
  it('steps what is no matrix like AdamW, at a rate that follows the schedule', async () => {
    const [mine, theirs] = [parameter([9]), parameter([9])]
    new Muon([{ params: [mine] }], { adamLearningRate: 0.01, weightDecay: 0.1 }).step({ learningRates: [0.01] })
    new AdamW([{ params: [theirs] }], {
      learningRate: 0.005,
      betas: [0.9, 0.95],
      eps: 1e-10,
      weightDecay: 0.1,
    }).step()
    expect(await mine.master.read()).toEqual(await theirs.master.read())
  })
  it('steps tall matrices further, but convolutions by the shape of their kernel', async () => {
    const moved = async (shape: readonly number[], layout: OptimizerParameter['layout']): Promise<number> => {
      const one = parameter(shape, layout)
      const before = (await one.master.read()) as Float32Array
      new Muon([{ params: [one] }]).step()
      const after = (await one.master.read()) as Float32Array
      return Math.hypot(...after.map((x, i) => x - before[i]!))
    }
    expect((await moved([32, 8], 'same')) / (await moved([32, 8], 'conv1x1'))).toBeCloseTo(2, 4)
  })
})
