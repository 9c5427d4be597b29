/** Steps that are taken parameter by parameter, of every optimizer that has a name: the bits of steps of all parameters at once. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { cast } from '../../lib/ops/cast.ts'
import { gradientNorm } from '../../lib/ops/gradientNorm.ts'
import { CustomOptimizer } from '../../lib/optim/customOptimizer.ts'
import type { Optimizer, OptimizerParameter } from '../../lib/optim/optimizer.ts'
import { createOptimizer, findOptimizer, optimizerNames } from '../../lib/optim/registry.ts'
import { stepsInParts } from '../../lib/optim/stepsInParts.ts'
import { randomNormal } from '../../lib/tensor/create.ts'
import { scope } from '../../lib/tensor/scope.ts'
import { ArgumentError } from '../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'

const coupled = optimizerNames.filter((name) => !findOptimizer(name).inParts)
const separable = optimizerNames.filter((name) => !coupled.includes(name))

let baseline: number
beforeEach(async () => {
  baseline = await baselineBuffers()
})
afterEach(async () => {
  expect(await liveBuffers()).toBe(baseline)
})

/** A convolution, a matrix, a vector and, in two groups, a matrix large enough for 8-bit states. */
const shapes = [[4, 3, 3, 5], [6, 7], [9], [64, 80]] as const

/** Three steps; parameters without a gradient in the second. @returns the bytes of parameters, copies and states, and the numbers beside */
async function train(name: string, dtype: 'float32' | 'bfloat16', inParts: boolean) {
  const parameters = shapes.map((shape, i): OptimizerParameter => {
    const values = randomNormal(shape, { seed: 10 + i })
    if (dtype === 'float32') return { name: `p${i}`, master: values, copy: cast(values, { dtype: 'bfloat16' }) }
    const master = cast(values, { dtype })
    values.dispose()
    return { name: `p${i}`, master }
  })
  const groups = [
    { name: 'one', params: parameters.slice(0, 2), learningRate: 0.1 },
    { name: 'two', params: parameters.slice(2), learningRate: 0.2 },
  ]
  const rounding = dtype === 'float32' ? {} : { stochasticRounding: { seed: 3 } }
  const values = name === 'PagedLion8bit' || name === 'PagedAdamW' ? { resident_bytes: 100 } : {}
  const optimizer = createOptimizer(name, groups, values, rounding)
  for (let step = 0; step < 3; step++) {
    const learningRates = [0.1 / (step + 1), 0.2 / (step + 1)]
    parameters.forEach(({ master }, i) => {
      if (step !== 1 || i !== 0) master.grad = randomNormal(master.shape, { seed: 100 * step + i })
    })
    if (inParts) stepInParts(optimizer, learningRates)
    else
      scope(() => {
        optimizer.step({ learningRates, clip: gradientNorm(optimizer.gradients()) })
      })
    optimizer.zeroGrad()
  }
  const { tensors, steps, scalars } = optimizer.state()
  const all = [...parameters.flatMap(({ master, copy }) => [master, ...(copy ? [copy] : [])]), ...tensors.values()]
  const bytes = await Promise.all(all.map(async (each) => Buffer.from((await each.read()).buffer).toString('base64')))
  optimizer.dispose()
  for (const { master, copy } of parameters) for (const each of [master, copy]) each?.dispose()
  return { bytes, steps, scalars }
}

/** From the last parameter to the first, each by the norm of its own gradient. */
function stepInParts(optimizer: Optimizer, learningRates: readonly number[]): void {
  const step = optimizer.beginStep!({ learningRates })
  for (const parameter of optimizer.parameters!().toReversed()) {
    const gradient = parameter.master.grad
    if (gradient !== null) scope(() => step.take(parameter, { clip: gradientNorm([gradient]) }))
    else step.take(parameter)
  }
}

describe('a step in parts', () => {
  it.each(separable)('of %s is the step of all parameters', async (name) => {
    for (const dtype of ['float32', 'bfloat16'] as const)
      expect(await train(name, dtype, true)).toEqual(await train(name, dtype, false))
  })

  it('has every optimizer but those that estimate one rate for all parameters', () => {
    expect(coupled).toEqual([
      ...['DAdaptAdamPreprint', 'DAdaptAdaGrad', 'DAdaptAdam', 'DAdaptAdan', 'DAdaptAdanIP', 'DAdaptLion', 'DAdaptSGD'],
      'Prodigy',
    ])
  })

  it('has a class of the user, unless it replaces the whole step alone', () => {
    class Plain extends CustomOptimizer {
      protected update(): void {}
    }
    class Coupled extends Plain {
      override step(): void {}
    }
    class Both extends Coupled {
      override beginStep(): { take(): void } {
        return { take: () => {} }
      }
    }
    expect([Plain, Coupled, Both].map(stepsInParts)).toEqual([true, false, true])
  })

  it.each(['AdamW', 'AdaFactor', 'Muon'])('of %s refuses parameters of others', (name) => {
    const [ours, other] = ['ours', 'other'].map((each) => ({ name: each, master: randomNormal([3, 3], { seed: 1 }) }))
    const optimizer = createOptimizer(name, [{ name: 'all', params: [ours!], learningRate: 0.1 }])
    expect(() => optimizer.beginStep!().take(other!)).toThrow(ArgumentError)
    expect(() => optimizer.beginStep!({ learningRates: [1, 2] })).toThrow(
      'learningRates must be one for each of 1 groups',
    )
    optimizer.dispose()
    for (const { master } of [ours!, other!]) master.dispose()
  })
})
