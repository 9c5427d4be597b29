/**
 * What every optimizer must do: follow its reference for 20 steps on three tensors, go on from a saved state bit for bit, not depend
 * on the number of threads, leak nothing, and refuse what is wrong. Fixtures come from scripts/reference/optimizers.py or a script
 * that uses its `write_family`.
 */
import { afterEach, describe, expect, it } from 'vitest'
import {
  clipGradients,
  type Optimizer,
  type OptimizerParameter,
  type OptimizerState,
  type ParameterGroup,
} from '../../lib/optim/optimizer.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { FloatDType } from '../../lib/tensor/dtype.ts'
import { setThreadCount, threadCount } from '../../lib/tensor/runtime.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { ArgumentError } from '../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers } from './device.ts'
import { type Digest, expectDigest } from './digest.ts'
import { loadFixture } from './fixtureCases.ts'
import { formulaValues } from './formula.ts'
import { numbers, roundedTensor } from './opSuite.ts'

type Settings = Readonly<Record<string, unknown>>
type TensorDigests = Readonly<Record<string, Digest>>

interface OptimizerFixture {
  readonly cases: Readonly<
    Record<
      string,
      {
        readonly settings: Settings
        /** One gradient of one step is not a number. */
        readonly nan: boolean
        /** Parameters after these steps. */
        readonly checks: Readonly<Record<string, TensorDigests>>
        /** Parameters in evaluation after the last step. */
        readonly evaluation?: TensorDigests
        /** 8-bit states of the matrix after the last step, base64. */
        readonly codes?: readonly string[]
        readonly absmax?: readonly (readonly number[])[]
      }
    >
  >
}

/** A class of optimizer, its settings left open. */
export type OptimizerClass<S> = new (groups: readonly ParameterGroup<S>[], settings?: Partial<S>) => Optimizer

export interface OptimizerCase {
  /** What the optimizer calls itself. */
  readonly name: string
  make(groups: readonly ParameterGroup<object>[], settings: Settings): Optimizer
  /** Names of cases in test/fixtures/optimizers/<family>.json. */
  readonly references: readonly string[]
  readonly family: string
  /** Error allowed relative to the element or the tensor's rms. Default 2e-6. */
  readonly tolerance?: number
  /** Its first step moves no parameter. Default false. */
  readonly firstStepIsNone?: boolean
  /** Settings that must be refused, each with a part of the message. */
  readonly refuses: readonly (readonly [Settings, string])[]
}

/** A line of the list of cases. The settings of classes differ, and the fixture's come from a file: this is where they meet. */
export function optimizerCase<S>(
  Class: OptimizerClass<S>,
  { name, ...rest }: Omit<OptimizerCase, 'make'>,
): OptimizerCase {
  return {
    name,
    ...rest,
    make: (groups, settings) => new Class(groups as readonly ParameterGroup<S>[], settings as Partial<S>),
  }
}

export const optimizerShapes = { matrix: [64, 72], conv: [8, 6, 3, 3], scalar: [] } as const
const scales: Readonly<Record<number, number>> = { 4: 0, 8: 1e-12, 12: 1e4 }
const steps = 20

function startParameter(name: string, shape: readonly number[], dtype: FloatDType): OptimizerParameter {
  const values = formulaValues(`optimizers/${name}/p`, { shape, kind: 'normal-like' })
  return { name, master: roundedTensor(values, shape, dtype) }
}

function startParameters(dtype: FloatDType = 'float32'): OptimizerParameter[] {
  return Object.entries(optimizerShapes).map(([name, shape]) => startParameter(name, shape, dtype))
}

function setGradients(params: readonly OptimizerParameter[], t: number, nan = false, multiple = 1): void {
  for (const { name, master } of params) {
    const spec = { shape: master.shape, kind: 'normal-like', scale: scales[t] ?? 1 } as const
    const values = formulaValues(`optimizers/${name}/g${t}`, spec).map((x) => x * multiple)
    if (nan && t === 15 && name === 'matrix') values[3] = Number.NaN
    master.grad = tensor(values, master.shape)
  }
}

function takeStep(optimizer: Optimizer, params: readonly OptimizerParameter[], t: number, nan = false): void {
  setGradients(params, t, nan)
  optimizer.step()
  optimizer.zeroGrad()
}

async function values({ master }: OptimizerParameter): Promise<ArrayLike<number>> {
  return numbers(master)
}

function disposeAll(params: readonly OptimizerParameter[]): void {
  for (const { master } of params) master.dispose()
}

/** A copy of a state as a file would hold it. */
async function stored(state: OptimizerState): Promise<OptimizerState> {
  const tensors = new Map<string, Tensor>()
  for (const [key, t] of state.tensors)
    tensors.set(key, tensor((await t.read()) as ArrayBufferView, t.shape, { dtype: t.dtype }))
  return { ...(JSON.parse(JSON.stringify({ ...state, tensors: null })) as OptimizerState), tensors }
}

async function allValues(optimizer: Optimizer, params: readonly OptimizerParameter[]): Promise<unknown> {
  const states: Record<string, unknown> = {}
  const { tensors, ...rest } = optimizer.state()
  for (const [key, t] of tensors) states[key] = await t.read()
  return { params: await Promise.all(params.map((p) => p.master.read())), states, rest }
}

/** Registers the conformance tests of one optimizer. */
export function describeOptimizer(one: OptimizerCase): void {
  describe(one.name, () => {
    const fixture = loadFixture<OptimizerFixture>(`optimizers/${one.family}.json`)
    const settings = fixture.cases[one.references[0]!]!.settings
    const threads = threadCount()
    afterEach(() => setThreadCount(threads))

    it.each(one.references)('follows its reference for 20 steps: %s', async (reference) => {
      const expected = fixture.cases[reference]!
      const params = startParameters()
      const optimizer = one.make([{ params }], expected.settings)
      const tolerance = one.tolerance ?? 2e-6
      const check = async (digests: TensorDigests): Promise<void> => {
        for (const param of params)
          expectDigest(await values(param), digests[param.name]!, {
            rms: tolerance,
            max: tolerance,
            relative: tolerance,
          })
      }
      for (let t = 1; t <= steps; t++) {
        takeStep(optimizer, params, t, expected.nan)
        const digests = expected.checks[t]
        if (digests) await check(digests)
      }
      const { tensors } = optimizer.state()
      for (const [k, text] of (expected.codes ?? []).entries()) {
        const codes = Buffer.from(text, 'base64')
        const actual = (await tensors.get(`matrix.state${k + 1}`)!.read()) as Uint8Array
        const apart = codes.reduce((most, code, i) => Math.max(most, Math.abs(code - actual[i]!)), 0)
        expect(apart, `codes of state ${k + 1}`).toBeLessThanOrEqual(1)
        const absmax = (await tensors.get(`matrix.absmax${k + 1}`)!.read()) as Float32Array
        expected.absmax![k]!.forEach((x, i) => {
          expect(Math.abs(absmax[i]! / x - 1), `absmax ${i} of state ${k + 1}`).toBeLessThan(1e-5)
        })
      }
      if (expected.evaluation) {
        optimizer.eval!()
        await check(expected.evaluation)
        expect(() => optimizer.step()).toThrow('call train() first')
        optimizer.train!()
        await check(expected.checks[steps]!)
      }
      optimizer.dispose()
      disposeAll(params)
    })

    const chance = { ...settings, stochasticRounding: { seed: 7 } }
    it.each(['bfloat16', 'float16'] as const)(
      'steps %s parameters to a neighbour of what float32 ones become, up or down by chance',
      async (dtype) => {
        const [params, wide] = [startParameters(dtype), startParameters(dtype)]
        for (const [i, { name, master }] of wide.entries())
          wide[i] = { name, master: tensor(Array.from(await values(params[i]!)), master.shape) }
        const [rounded, exact] = [one.make([{ params }], chance), one.make([{ params: wide }], settings)]
        // A large gradient first: otherwise the step of a method that looks for its size would be lost in float32 as well.
        takeStep(rounded, params, 12)
        takeStep(exact, wide, 12)
        const far: string[] = []
        let [ups, downs] = [0, 0]
        for (const [i, param] of params.entries()) {
          const unrounded = await values(wide[i]!)
          const nearest = roundedTensor(unrounded, param.master.shape, dtype)
          const [actual, near] = [await values(param), await numbers(nearest)]
          const [bits, nearBits] = [(await param.master.read()) as Uint16Array, (await nearest.read()) as Uint16Array]
          for (let k = 0; k < bits.length; k++) {
            const [x, gone, most] = [unrounded[k]!, actual[k]! - unrounded[k]!, near[k]! - unrounded[k]!]
            // The nearest number, or the next one on the other side.
            const other = Math.abs(bits[k]! - nearBits[k]!) === 1 && gone * most < 0
            if (bits[k] !== nearBits[k] && !other) far.push(`${param.name} ${k}`)
            if (gone !== 0 && gone > 0 === x > 0) ups++
            else if (gone !== 0) downs++
          }
        }
        expect(far).toEqual([])
        expect(ups > 0 && downs > 0).toBe(!one.firstStepIsNone)
      },
    )
    it('refuses 16-bit parameters without a seed to round them by', () => {
      const params = startParameters('bfloat16')
      expect(() => one.make([{ params }], settings)).toThrow(
        'matrix must be a contiguous float32 tensor, or bfloat16 or float16 with stochastic rounding',
      )
      const halfASeed = { ...settings, stochasticRounding: { seed: 0.5 } }
      expect(() => one.make([{ params }], halfASeed)).toThrow('a seed that is a whole number of 0 or more')
    })

    it('gives the same bits whatever the loss was multiplied by', async () => {
      const run = async (multiple: number): Promise<unknown> => {
        const params = startParameters()
        const optimizer = one.make([{ params }], settings)
        for (const t of [1, 2, 3]) {
          setGradients(params, t, false, multiple)
          const clip = clipGradients(optimizer, 1, multiple)
          optimizer.step({ clip })
          clip?.dispose()
          optimizer.zeroGrad()
        }
        return allValues(optimizer, params)
      }
      expect(await run(2 ** 16)).toEqual(await run(1))
    })

    const resumes = async (dtype: FloatDType): Promise<void> => {
      const given = dtype === 'float32' ? settings : chance
      const [params, resumedParams] = [startParameters(dtype), startParameters(dtype)]
      const whole = one.make([{ params }], given)
      let resumed = one.make([{ params: resumedParams }], given)
      for (let t = 1; t <= steps; t++) {
        if (t === 11) {
          const state = await stored(resumed.state())
          resumed.dispose()
          resumed = one.make([{ params: resumedParams }], given)
          resumed.loadState(state)
        }
        takeStep(whole, params, t)
        takeStep(resumed, resumedParams, t)
      }
      expect(await allValues(resumed, resumedParams)).toEqual(await allValues(whole, params))
    }
    it('goes on from a saved state bit for bit', () => resumes('float32'))
    it('goes on bit for bit with bfloat16 parameters that are rounded by chance', () => resumes('bfloat16'))

    it.each(['float32', 'bfloat16'] as const)(
      'gives the same bits on 1 and 2 threads, with %s parameters',
      async (dtype) => {
        const run = async (count: number): Promise<unknown> => {
          setThreadCount(count)
          const params = [...startParameters(dtype), startParameter('large', [200, 251], dtype)]
          const optimizer = one.make([{ params }], dtype === 'float32' ? settings : chance)
          for (let t = 1; t <= 3; t++) takeStep(optimizer, params, t)
          return allValues(optimizer, params)
        }
        expect(await run(2)).toEqual(await run(1))
      },
    )

    it('frees all it took', async () => {
      const params = startParameters()
      const before = await baselineBuffers()
      const optimizer = one.make([{ params }], settings)
      for (const t of [1, 2]) takeStep(optimizer, params, t)
      optimizer.eval?.()
      optimizer.dispose()
      expect(await liveBuffers()).toBe(before)
      expect(params.every(({ master }) => !master.disposed)).toBe(true)
    })

    it.each(one.refuses)('refuses %j', (bad, message) => {
      const params = startParameters()
      expect(() => one.make([{ params }], { ...settings, ...bad })).toThrow(ArgumentError)
      expect(() => one.make([{ params }], { ...settings, ...bad })).toThrow(message)
    })
    it('refuses a negative learning rate, whenever it comes', () => {
      const params = startParameters()
      for (const learningRate of [-1, Number.NaN, Number.POSITIVE_INFINITY])
        expect(() => one.make([{ params }], { ...settings, learningRate })).toThrow(ArgumentError)
      expect(() => one.make([{ params }], settings).step({ learningRates: [-1] })).toThrow(ArgumentError)
    })
    it('refuses settings that it does not have, offering the nearest', () => {
      const make = (): Optimizer => one.make([{ params: startParameters() }], { ...settings, learningRat: 1 })
      expect(make).toThrow(ArgumentError)
      expect(make).toThrow('learningRate')
    })

    it('refuses the state of another optimizer or model', async () => {
      const params = startParameters()
      const optimizer = one.make([{ params }], settings)
      takeStep(optimizer, params, 1)
      const state = await stored(optimizer.state())
      const before = await allValues(optimizer, params)
      const wrong: readonly OptimizerState[] = [
        { ...state, optimizer: 'somethingElse' },
        { ...state, steps: { ...state.steps, stranger: 1 } },
        { ...state, steps: {}, tensors: new Map() },
      ]
      for (const other of wrong) expect(() => optimizer.loadState(other)).toThrow(ArgumentError)
      expect(await allValues(optimizer, params)).toEqual(before)
    })
  })
}
