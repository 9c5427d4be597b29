/** What only learning-rate-free optimizers do: find a step size, and share it between groups. */
import { afterEach, describe, expect, it } from 'vitest'
import type { AdaptiveScalars } from '../../lib/ops/adaptiveStep.ts'
import {
  clipGradients,
  DAdaptAdaGrad,
  DAdaptAdam,
  DAdaptAdamPreprint,
  DAdaptAdan,
  DAdaptAdanIP,
  DAdaptLion,
  DAdaptSGD,
  describeLowRate,
  describeUnequalRates,
  type OptimizerParameter,
  type ParameterGroup,
  Prodigy,
} from '../../lib/optim/index.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'
import { cpuTargets, setCpuTarget } from '../../lib/tensor/runtime.ts'
import { type Digest, expectDigest } from '../support/digest.ts'
import { loadFixture } from '../support/fixtureCases.ts'
import { fromBFloat16Bits, roundToBFloat16 } from '../support/float64.ts'
import { formulaValues } from '../support/formula.ts'
import { optimizerShapes } from '../support/optimizerSuite.ts'

type Settings = Readonly<Record<string, unknown>>

interface AdaptiveFixture {
  readonly cases: Readonly<
    Record<
      string,
      {
        readonly settings: Settings
        readonly checks: Readonly<Record<string, Readonly<Record<string, Digest>>>>
        /** After every step. */
        readonly d: readonly number[]
        readonly scalars: Partial<AdaptiveScalars>
        /** The same of the exact reference when it stores its parameters in float32, and how far that leads them. */
        readonly stored: {
          readonly d: readonly number[]
          readonly scalars: Partial<AdaptiveScalars>
          readonly error: number
        }
        /** Of a group for each tensor. */
        readonly factors?: readonly number[]
      }
    >
  >
  readonly published: Readonly<
    Record<
      string,
      {
        readonly settings: Settings
        readonly p: readonly number[]
        readonly published: readonly number[]
        readonly scalars: Partial<AdaptiveScalars>
      }
    >
  >
}

const fixture = loadFixture<AdaptiveFixture>('optimizers/adaptive.json')
const classes = {
  dAdaptAdam: DAdaptAdam,
  dAdaptAdamPreprint: DAdaptAdamPreprint,
  dAdaptAdaGrad: DAdaptAdaGrad,
  dAdaptAdan: DAdaptAdan,
  dAdaptAdanIP: DAdaptAdanIP,
  dAdaptLion: DAdaptLion,
  dAdaptSGD: DAdaptSGD,
  prodigy: Prodigy,
} as const

type Name = keyof typeof classes
type AnyAdaptive = InstanceType<(typeof classes)[Name]>

const names = Object.keys(classes) as Name[]

function make(name: Name, groups: readonly ParameterGroup<object>[], settings: Settings): AnyAdaptive {
  const Class = classes[name] as new (groups: readonly ParameterGroup<object>[], settings: object) => AnyAdaptive
  return new Class(groups, settings)
}

/** The longest name that a case's begins with. */
function nameOf(reference: string): Name {
  return names.filter((name) => reference.startsWith(name)).sort((a, b) => b.length - a.length)[0]!
}

const shapes = Object.entries(optimizerShapes)
const scales: Readonly<Record<number, number>> = { 4: 0, 8: 1e-12, 12: 1e4 }

function startParameters(): OptimizerParameter[] {
  return shapes.map(([name, shape]) => ({ name, master: tensor(startValues(name, shape), shape) }))
}

function startValues(name: string, shape: readonly number[]): Float32Array {
  return formulaValues(`optimizers/${name}/p`, { shape, kind: 'normal-like' })
}

/** Scripted gradients, which also pull to zero if asked to. */
function setGradients(params: readonly OptimizerParameter[], t: number, pulled: boolean, factor = 1): void {
  for (const { name, master } of params) {
    const { shape } = master
    const g = formulaValues(`optimizers/${name}/g${t}`, { shape, kind: 'normal-like', scale: scales[t] ?? 1 })
    const p = startValues(name, shape)
    master.grad = tensor(
      g.map((x, i) => factor * (pulled ? x + p[i]! : x)),
      shape,
    )
  }
}

async function floats({ master }: OptimizerParameter): Promise<Float32Array> {
  return (await master.read()) as Float32Array
}

/** Within `tolerance`, or no further off than three times what storing float32 parameters does to the reference. */
function expectNear(what: string, actual: number, exact: number, stored: number, tolerance: number): void {
  const allowed = Math.max(tolerance * Math.abs(exact), 3 * Math.abs(stored - exact))
  expect(Math.abs(actual - exact), `${what}: ${actual} for ${exact}`).toBeLessThanOrEqual(allowed)
}

const targets = cpuTargets()
afterEach(() => setCpuTarget(targets.at(-1)!))

describe.each(targets)('the step size found on %s', (target) => {
  it.each(Object.keys(fixture.cases))('is the one of its reference at every step: %s', async (reference) => {
    setCpuTarget(target)
    const expected = fixture.cases[reference]!
    const params = startParameters()
    const groups = params.map((param, i) => ({ params: [param], learningRate: expected.factors?.[i] ?? 1 }))
    const optimizer = make(nameOf(reference), groups, expected.settings)
    // Prodigy estimates d from p0 - p: of a parameter that has hardly moved, float32 holds few digits of that. With gradients that
    // pull, and no mean of them, this alone leads prodigyopt in float64 off by 2e-5. Everything else is within 2e-6.
    const tolerance = Math.max(2e-6, expected.stored.error)
    for (let t = 1; t <= 20; t++) {
      setGradients(params, t, reference.endsWith('Pulled'))
      optimizer.step()
      const { d } = await optimizer.scalars()
      expectNear(`d after step ${t}`, d, expected.d[t - 1]!, expected.stored.d[t - 1]!, 1e-5)
      for (const [name, digest] of Object.entries(expected.checks[t] ?? {})) {
        const values = await floats(params.find((param) => param.name === name)!)
        expectDigest(values, digest, { rms: tolerance, max: tolerance, relative: tolerance })
      }
    }
    const scalars = await optimizer.scalars()
    // Gradients that have nothing to do with each other cancel in the numerator, and float32 terms leave fewer digits.
    const near = reference.endsWith('Pulled') ? 1e-5 : 1e-4
    for (const key of Object.keys(expected.scalars) as (keyof AdaptiveScalars)[])
      expectNear(key, scalars[key], expected.scalars[key]!, expected.stored.scalars[key]!, near)
  })

  // Ten steps with the parameter as its own gradient: rounding errors grow, d by a factor of up to 36 000.
  it.each(Object.keys(fixture.published))('follows published steps: %s', async (reference) => {
    setCpuTarget(target)
    const expected = fixture.published[reference]!
    const master = tensor([0.5, -0.25, 1, -2, 0.125, 0.75], [2, 3])
    const optimizer = make(nameOf(reference), [{ params: [{ name: 'p', master }] }], expected.settings)
    for (let t = 1; t <= 10; t++) {
      master.grad = tensor((await master.read()) as Float32Array, [2, 3])
      optimizer.step()
    }
    const actual = (await master.read()) as Float32Array
    for (const list of [expected.p, expected.published])
      list.forEach((x, i) => {
        expect(Math.abs(actual[i]! / x - 1), `element ${i}: ${actual[i]} for ${x}`).toBeLessThan(3e-4)
      })
    expect(Math.abs((await optimizer.scalars()).d / expected.scalars.d! - 1)).toBeLessThan(5e-5)
  })
})

describe.each(names)('%s', (name) => {
  const settings = { d0: 1e-3, weightDecay: 0 }

  async function steps(optimizer: AnyAdaptive, params: readonly OptimizerParameter[], first: number, last: number) {
    for (let t = first; t <= last; t++) {
      setGradients(params, t, true)
      optimizer.step()
      optimizer.zeroGrad()
    }
    return Promise.all(params.map(floats))
  }

  it('does not count steps while all gradients are zero', async () => {
    const params = startParameters()
    const optimizer = make(name, [{ params }], settings)
    for (const { master } of params) master.grad = zeros(master.shape)
    optimizer.step()
    expect(await Promise.all(params.map(floats))).toEqual(shapes.map(([key, shape]) => startValues(key, shape)))
    expect(await optimizer.scalars()).toMatchObject({ d: 1e-3, k: 0, weighted: 0 })
    expect(await steps(optimizer, params, 1, 3)).not.toContain(Number.NaN)
    expect((await optimizer.scalars()).k).toBe(3)
  })

  it('starts over as if nothing had been when the first norm is not finite', async () => {
    const [params, clean] = [startParameters(), startParameters()]
    const optimizer = make(name, [{ params }], settings)
    setGradients(params, 1, true)
    params[0]!.master.grad = tensor(new Float32Array(64 * 72).fill(Number.NaN), [64, 72])
    optimizer.step({ clip: clipGradients(optimizer) })
    expect(await optimizer.scalars()).toMatchObject({ d: 1e-3, k: 0 })
    const expected = await steps(make(name, [{ params: clean }], settings), clean, 1, 5)
    expect(await steps(optimizer, params, 1, 5)).toEqual(expected)
  })

  it('takes gradients times the factor of clipping', async () => {
    const [params, clean] = [startParameters(), startParameters()]
    const [clipped, plain] = [make(name, [{ params }], settings), make(name, [{ params: clean }], settings)]
    for (let t = 1; t <= 3; t++) {
      setGradients(params, t, true)
      const clip = clipGradients(clipped, 1)!
      const [, factor] = (await clip.read()) as Float32Array
      clipped.step({ clip })
      setGradients(clean, t, true, factor)
      plain.step()
    }
    const expected = await Promise.all(clean.map(floats))
    ;(await Promise.all(params.map(floats))).forEach((values, k) => {
      values.forEach((x, i) => {
        expect(Math.abs(x - expected[k]![i]!)).toBeLessThan(2e-6)
      })
    })
  })

  it('keeps bfloat16 copies current, and uses their gradients', async () => {
    const master = tensor(formulaValues('m', { shape: [300], kind: 'normal-like' }), [300])
    const copy = zeros([300], { dtype: 'bfloat16' })
    const optimizer = make(name, [{ params: [{ name: 'p', master, copy }] }], { ...settings, d0: 0.1 })
    copy.grad = tensor(formulaValues('g', { shape: [300], kind: 'normal-like' }), [300])
    const before = (await master.read()) as Float32Array
    optimizer.step()
    const after = (await master.read()) as Float32Array
    expect(after).not.toEqual(before)
    expect(fromBFloat16Bits((await copy.read()) as Uint16Array)).toEqual(after.map(roundToBFloat16))
  })

  it('leaves groups with a rate of 0 alone', async () => {
    const params = startParameters()
    const groups = params.map((param, i) => ({ params: [param], learningRate: i === 0 ? 0 : 1 }))
    const optimizer = make(name, groups, { ...settings, weightDecay: 0.1 })
    const [first, ...others] = await steps(optimizer, params, 1, 4)
    expect(first).toEqual(startValues('matrix', optimizerShapes.matrix))
    const alone = startParameters().slice(1)
    const expected = await steps(make(name, [{ params: alone }], { ...settings, weightDecay: 0.1 }), alone, 1, 4)
    expect(others).toEqual(expected)
    expect(optimizer.state().steps).toEqual({ matrix: 0, conv: 4, scalar: 4 })
  })

  it('changes nothing while all rates are 0, and finds its way from there', async () => {
    const params = startParameters()
    const optimizer = make(name, [{ params }], settings)
    setGradients(params, 1, true)
    optimizer.step({ learningRates: [0] })
    expect(await Promise.all(params.map(floats))).toEqual(shapes.map(([key, shape]) => startValues(key, shape)))
    expect((await optimizer.scalars()).k).toBe(0)
    for (const values of await steps(optimizer, params, 2, 6)) expect(values.every(Number.isFinite)).toBe(true)
    expect((await optimizer.scalars()).k).toBe(5)
  })

  it('reports d times the rate of every group', async () => {
    const params = startParameters()
    const groups = params.map((param, i) => ({ params: [param], learningRate: [1, 0.5, 0][i]! }))
    const optimizer = make(name, groups, settings)
    expect(await optimizer.effectiveLearningRates()).toEqual([1e-3, 5e-4, 0])
    setGradients(params, 1, true)
    optimizer.step({ learningRates: [0.5, 0.25, 0] })
    const { d } = await optimizer.scalars()
    expect(await optimizer.effectiveLearningRates()).toEqual([0.5 * d, 0.25 * d, 0])
  })

  it('refuses what groups cannot have of their own', () => {
    const group = { params: startParameters(), d0: 1 }
    expect(() => make(name, [group], {})).toThrow(
      `${name}: d0 must be one for all groups, since they share their step size, received one of a group`,
    )
  })

  it('refuses a state whose step size is missing', async () => {
    const params = startParameters()
    const optimizer = make(name, [{ params }], settings)
    const { tensors, ...rest } = optimizer.state()
    const without = new Map([...tensors].filter(([key]) => key !== 'scalars'))
    expect(() => optimizer.loadState({ ...rest, tensors: without })).toThrow(
      `${name}: state must be with scalars as int64 [8], received a state without them`,
    )
  })
})

// A group at the share r of the largest rate behaves as parameters y = x / r (for SGD, whose steps are lengths, y = x / sqrt(r))
// with their gradients would at the full rate. With r a power of 4, and eps so small that it vanishes, that is exact.
describe.each(['dAdaptAdam', 'dAdaptAdamPreprint', 'dAdaptAdan', 'dAdaptAdanIP', 'dAdaptSGD', 'prodigy'] as const)(
  'a quarter of the rate with %s',
  (name) => {
    it('is the full rate in units four times as large', async () => {
      const settings = { d0: 1e-3, weightDecay: 0, ...(name === 'dAdaptSGD' ? {} : { eps: 1e-36 }) }
      const unit = name === 'dAdaptSGD' ? 2 : 4
      const [params, scaled] = [startParameters(), startParameters()]
      scaled[0] = {
        name: 'matrix',
        master: tensor(
          startValues('matrix', [64, 72]).map((x) => unit * x),
          [64, 72],
        ),
      }
      const groups = params.map((param, i) => ({ params: [param], learningRate: i === 0 ? 0.25 : 1 }))
      const [unequal, equal] = [make(name, groups, settings), make(name, [{ params: scaled }], settings)]
      for (let t = 1; t <= 7; t++) {
        setGradients(params, t, true)
        setGradients(scaled.slice(1), t, true)
        setGradients(scaled.slice(0, 1), t, true, 1 / unit)
        unequal.step()
        equal.step()
      }
      expect((await unequal.scalars()).d).toBe((await equal.scalars()).d)
      expect((await unequal.scalars()).d).toBeGreaterThan(1e-3)
      const expected = await Promise.all(scaled.map(floats))
      expected[0] = expected[0]!.map((x) => x / unit)
      expect(await Promise.all(params.map(floats))).toEqual(expected)
    })
  },
)

describe('messages about learning rates', () => {
  it('explain what rates that differ do', () => {
    expect(describeUnequalRates('prodigy', [1, 1])).toBeNull()
    expect(describeUnequalRates('prodigy', [1, 0])).toBeNull()
    expect(describeUnequalRates('prodigy', [0.5, 1], ['text encoder', 'U-Net'])).toBe(
      'prodigy finds one step size d for all parameters, so learning rates that differ are shares of it: the largest, 1, multiplies ' +
        "d, and each group's steps, and its part in the estimate of d, are scaled by its rate over that one. Here: " +
        'text encoder (0.5) 50 %, U-Net (1) 100 %. The original packages refuse such rates, or use the first one for all groups.',
    )
  })

  it('warn of rates that were meant for another optimizer', () => {
    expect(describeLowRate('prodigy', [1])).toBeNull()
    expect(describeLowRate('prodigy', [0, 0.5])).toBeNull()
    expect(describeLowRate('prodigy', [1e-4])).toContain('use a learning rate of about 1')
    expect(describeLowRate('prodigy', [0.1])).not.toBeNull()
  })
})
