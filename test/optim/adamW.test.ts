import { describe, expect, it } from 'vitest'
import { AdamW } from '../../lib/optim/adamW.ts'
import { AdamW8bit } from '../../lib/optim/adamW8bit.ts'
import { clipGradients, type OptimizerParameter } from '../../lib/optim/optimizer.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { fromBFloat16Bits, pseudoRandom, roundToBFloat16 } from '../support/float64.ts'

const sizes = { weight: 6000, bias: 300 }

function parameters(): OptimizerParameter[] {
  return Object.entries(sizes).map(([name, size]) => ({ name, master: tensor(pseudoRandom(name, size), [size]) }))
}

function setGradients(params: readonly OptimizerParameter[], step: number): void {
  for (const { name, master } of params)
    master.grad = tensor(pseudoRandom(`${name}/gradient/${step}`, master.size), master.shape)
}

async function values(params: readonly OptimizerParameter[]): Promise<Float32Array[]> {
  return Promise.all(params.map(async ({ master }) => (await master.read()) as Float32Array))
}

/** The plain rule in float64. */
function plainSteps(name: string, size: number, steps: number, learningRate: number, weightDecay: number): number[] {
  const p = Array.from(pseudoRandom(name, size))
  const m = new Array<number>(size).fill(0)
  const v = new Array<number>(size).fill(0)
  for (let t = 1; t <= steps; t++)
    pseudoRandom(`${name}/gradient/${t}`, size).forEach((g, i) => {
      m[i] = 0.9 * m[i]! + 0.1 * g
      v[i] = 0.999 * v[i]! + 0.001 * g * g
      const step = m[i]! / (1 - 0.9 ** t) / (Math.sqrt(v[i]! / (1 - 0.999 ** t)) + 1e-8)
      p[i] = p[i]! * (1 - learningRate * weightDecay) - learningRate * step
    })
  return p
}

const kinds = [
  ['adamW', AdamW, 2e-6],
  ['adamW8bit', AdamW8bit, 2e-3],
] as const

describe.each(kinds)('%s', (name, Optimizer, tolerance) => {
  const settings = { learningRate: 1e-3, weightDecay: 0.1 }

  it('follows the plain rule for ten steps', async () => {
    const params = parameters()
    const optimizer = new Optimizer([{ params }], settings)
    for (let step = 1; step <= 10; step++) {
      setGradients(params, step)
      optimizer.step()
      optimizer.zeroGrad()
    }
    const actual = await values(params)
    params.forEach(({ name: parameter, master }, k) => {
      plainSteps(parameter, master.size, 10, 1e-3, 0.1).forEach((x, i) => {
        if (!(Math.abs(actual[k]![i]! - x) <= tolerance))
          throw new Error(`${parameter}[${i}] is ${actual[k]![i]}, not ${x}`)
      })
    })
    expect(params.every(({ master }) => master.grad === null)).toBe(true)
  })

  it('goes on from a saved state as if it had not stopped', async () => {
    const params = parameters()
    const whole = new Optimizer([{ params }], settings)
    const resumedParams = parameters()
    const first = new Optimizer([{ params: resumedParams }], settings)
    for (const step of [1, 2, 3]) {
      for (const list of [params, resumedParams]) setGradients(list, step)
      whole.step()
      first.step()
    }
    const second = new Optimizer([{ params: resumedParams }], settings)
    second.loadState(first.state())
    first.dispose()
    for (const step of [4, 5]) {
      for (const list of [params, resumedParams]) setGradients(list, step)
      whole.step()
      second.step()
    }
    expect(await values(resumedParams)).toEqual(await values(params))
  })

  it('leaves parameters without a gradient alone and counts their steps apart', async () => {
    const params = parameters()
    const before = await values(params)
    const optimizer = new Optimizer([{ params }], settings)
    params[0]!.master.grad = tensor(pseudoRandom('g', sizes.weight), [sizes.weight])
    optimizer.step()
    const after = await values(params)
    expect(after[1]).toEqual(before[1])
    expect(after[0]).not.toEqual(before[0])
    expect(optimizer.state().steps).toEqual({ weight: 1, bias: 0 })
  })

  it('steps each group at its own rate and keeps bfloat16 copies current', async () => {
    const [weight, bias] = parameters() as [OptimizerParameter, OptimizerParameter]
    const copy = zeros([sizes.weight], { dtype: 'bfloat16' })
    const before = await values([weight, bias])
    const optimizer = new Optimizer(
      [{ params: [{ ...weight, copy }] }, { params: [bias], learningRate: 0.5 }],
      settings,
    )
    expect(optimizer.learningRates).toEqual([1e-3, 0.5])
    copy.grad = tensor(pseudoRandom('g', sizes.weight), [sizes.weight])
    bias.master.grad = tensor(pseudoRandom('g', sizes.bias), [sizes.bias])
    optimizer.step({ learningRates: [0, 0.25] })
    const after = await values([weight, bias])
    expect(after[0]).toEqual(before[0])
    expect(fromBFloat16Bits((await copy.read()) as Uint16Array)).toEqual(before[0]!.map(roundToBFloat16))
    expect(Math.abs(after[1]![5]! - before[1]![5]! * (1 - 0.025))).toBeCloseTo(0.25, 4)
    optimizer.zeroGrad()
    expect(copy.grad).toBeNull()
  })

  it('steps with clipped gradients, and not at all with a norm that is not finite', async () => {
    const params = parameters()
    const optimizer = new Optimizer([{ params }], settings)
    expect(clipGradients(optimizer, 1)).toBeNull()
    setGradients(params, 1)
    optimizer.step({ clip: clipGradients(optimizer, 1) })
    const before = await values(params)
    params[1]!.master.grad = tensor(new Float32Array(sizes.bias).fill(Number.NaN), [sizes.bias])
    optimizer.step({ clip: clipGradients(optimizer, 1) })
    expect(await values(params)).toEqual(before)
  })

  it('names what is wrong with its arguments', () => {
    const params = parameters()
    expect(() => new Optimizer([{ params: [...params, params[0]!] }])).toThrow(
      `${name}: params must be tensors with different names, received "weight" twice`,
    )
    expect(() => new Optimizer([])).toThrow(`${name}: groups must be at least one parameter, received none`)
    expect(() => new Optimizer([{ params }], { betas: [0.9, 1] })).toThrow(
      `${name}: betas must be in [0, 1), received 1`,
    )
    expect(() => new Optimizer([{ params }]).step({ learningRates: [1, 2] })).toThrow(
      `${name}: learningRates must be one for each of 1 groups, received 2`,
    )
    expect(() => new Optimizer([{ params }]).loadState({ optimizer: name, steps: {}, tensors: new Map() })).toThrow(
      `${name}: state must be with weight.state1`,
    )
  })

  it('frees its states', async () => {
    const params = parameters()
    const before = await baselineBuffers()
    const optimizer = new Optimizer([{ params }])
    expect(await liveBuffers()).toBeGreaterThan(before)
    optimizer.dispose()
    expect(await liveBuffers()).toBe(before)
    expect(params.every(({ master }) => !master.disposed)).toBe(true)
  })
})

describe('adamW8bit', () => {
  it('keeps two bytes and a scale for each block, and small tensors in float32', () => {
    const { tensors } = new AdamW8bit([{ params: parameters() }]).state()
    const bytes = (t: Tensor | undefined): string => `${t?.dtype} ${t?.size}`
    expect(Object.fromEntries([...tensors].map(([key, t]) => [key, bytes(t)]))).toEqual({
      'weight.state1': 'uint8 6000',
      'weight.state2': 'uint8 6000',
      'weight.absmax1': 'float32 24',
      'weight.absmax2': 'float32 24',
      'bias.state1': 'float32 300',
      'bias.state2': 'float32 300',
    })
  })
  it('takes over float32 states, and gives its own back', async () => {
    const params = parameters()
    const exact = new AdamW([{ params }])
    setGradients(params, 1)
    exact.step()
    const coded = new AdamW8bit([{ params }])
    coded.loadState(exact.state())
    const again = new AdamW([{ params }])
    again.loadState(coded.state())
    const before = (await exact.state().tensors.get('weight.state1')!.read()) as Float32Array
    const after = (await again.state().tensors.get('weight.state1')!.read()) as Float32Array
    const largest = Math.max(...before.map(Math.abs))
    before.forEach((x, i) => {
      expect(Math.abs(x - after[i]!)).toBeLessThan(0.0071 * largest)
    })
    expect(again.state().steps).toEqual({ weight: 1, bias: 1 })
  })
})
