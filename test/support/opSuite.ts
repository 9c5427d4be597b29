/**
 * One case list, many checks. For every case, on every instruction set the machine has, in float32, bfloat16 and float16:
 * forward against a float64 oracle; gradients against central differences of that oracle (every input element of small
 * cases, random directions of larger ones); equal bits on 1 and 2 threads and when run again; no write outside a buffer; live
 * buffers back to the baseline. The reference composition, where there is one, is held against the same oracle. Ops with CUDA
 * kernels run every case in the emulation too: against the oracle, their gradients against the CPU's, with equal bits in every order
 * of threads that `orders` names.
 */
import { afterAll, describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import type { Op, OpInputs } from '../../lib/autograd/defineOp.ts'
import { setStrict } from '../../lib/autograd/defineOp.ts'
import { addon } from '../../lib/native/load.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { type DType, type FloatDType, isFloat } from '../../lib/tensor/dtype.ts'
import { cpuTargets, memory, setCpuTarget, setThreadCount } from '../../lib/tensor/runtime.ts'
import { elementCount, type Shape } from '../../lib/tensor/shape.ts'
import type { DeviceName, Tensor } from '../../lib/tensor/tensor.ts'
import { float16ToFloat32, float32ToFloat16 } from '../../lib/util/float16.ts'
import { canEmulate, orders, setEmulation } from './emulatedGpu.ts'
import {
  type Array64,
  array64,
  expectClose,
  fromBFloat16Bits,
  pseudoRandom,
  type Tolerance,
  toBFloat16Bits,
} from './float64.ts'

export interface InputSpec {
  readonly shape: Shape
  /** Default: the dtype under test for main inputs. Give `float32` for parameters that stay float32, `int32` for ids. */
  readonly dtype?: DType
  /** Values; default pseudo-random in [-scale, scale] around `offset`. */
  readonly data?: ArrayLike<number>
  readonly scale?: number
  readonly offset?: number
  /** Default true for float inputs of a differentiable op. */
  readonly gradient?: boolean
}

export interface OpCase<Options> {
  readonly name: string
  /** In the op's order; null for an absent optional input. */
  readonly inputs: readonly (InputSpec | null)[]
  readonly options: Options
}

export type Tolerances = Readonly<Record<'float32' | 'bfloat16', Tolerance>> & {
  /** Default: an eighth of bfloat16's, which has three bits less. */
  readonly float16?: Tolerance
}

export interface OpSuite<Options> {
  readonly cases: readonly OpCase<Options>[]
  /** The op in float64, written out plainly. Absent inputs are null. */
  readonly oracle: (inputs: readonly (Array64 | null)[], options: Options) => Array64
  readonly dtypes?: readonly FloatDType[]
  readonly tolerance: Tolerances
  /** Default: four times `tolerance` in float32, three times in 16 bits, plus the error of the differences. */
  readonly gradientTolerance?: Tolerances
  /** False for ops whose result is not a function the oracle can differentiate (dropout, rounding). */
  readonly gradients?: boolean
  /** Whether the op has CUDA kernels, which then run the cases too. Default false. */
  readonly gpu?: boolean
}

export const elementwiseTolerance = {
  float32: { rms: 2e-7, max: 1e-6, relative: 1e-6 },
  bfloat16: { rms: 2.5e-3, max: 4e-3, relative: 2 ** -8 },
  float16: { rms: 3e-4, max: 5e-4, relative: 2 ** -10 },
} as const
export const gemmTolerance = {
  float32: { rms: 1e-6, max: 1e-5 },
  bfloat16: { rms: 2.5e-3, max: 4e-3, relative: 2 ** -8 },
  float16: { rms: 4e-4, max: 1e-3, relative: 2 ** -10 },
} as const
export const attentionTolerance = {
  float32: { rms: 1.5e-6, max: 4e-5 },
  bfloat16: { rms: 4e-3, max: 4e-2 },
  float16: { rms: 6e-4, max: 5e-3 },
} as const
export const attentionGradientTolerance = {
  float32: { rms: 2e-6, max: 5e-5 },
  bfloat16: { rms: 8e-3, max: 8e-2 },
  float16: { rms: 1.2e-3, max: 1.2e-2 },
} as const

function toleranceOf(tolerances: Tolerances, dtype: FloatDType): Tolerance {
  if (dtype !== 'float16') return tolerances[dtype]
  const { rms, max, relative = 0 } = tolerances.bfloat16
  return tolerances.float16 ?? { rms: rms / 8, max: max / 8, relative: relative / 8 }
}

/** A tensor of the nearest numbers that `dtype` has. */
export function roundedTensor(
  values: ArrayLike<number>,
  shape: Shape,
  dtype: FloatDType,
  device: DeviceName = 'cpu',
): Tensor {
  if (dtype === 'float32') return tensor(Float32Array.from(values), shape, { device })
  const bits = dtype === 'bfloat16' ? toBFloat16Bits(values) : float32ToFloat16(Float32Array.from(values))
  return tensor(bits, shape, { dtype, device })
}

/** Float32 numbers of a tensor of any dtype. */
export async function numbers(x: Tensor): Promise<ArrayLike<number>> {
  const data = await x.read()
  if (x.dtype === 'bfloat16') return fromBFloat16Bits(data as Uint16Array)
  if (x.dtype === 'float16') return float16ToFloat32(data as Uint16Array)
  if (data instanceof BigInt64Array) return Array.from(data, Number)
  return data as ArrayLike<number> & object as Float32Array
}

interface Built {
  readonly tensors: readonly (Tensor | null)[]
  readonly arrays: readonly (Array64 | null)[]
}

async function build(
  op: string,
  name: string,
  specs: readonly (InputSpec | null)[],
  dtype: FloatDType,
  tracked: boolean,
  device: DeviceName,
): Promise<Built> {
  const tensors: (Tensor | null)[] = []
  const arrays: (Array64 | null)[] = []
  for (const [i, spec] of specs.entries()) {
    if (spec === null) {
      tensors.push(null)
      arrays.push(null)
      continue
    }
    const { shape, scale = 1, offset = 0 } = spec
    const kind = spec.dtype ?? dtype
    const raw = spec.data ?? pseudoRandom(`${op}/${name}/${i}`, elementCount(shape)).map((x) => x * scale + offset)
    const t = isFloat(kind)
      ? roundedTensor(raw, shape, kind, device)
      : tensor(Array.from(raw), shape, { dtype: kind, device })
    t.requiresGrad = tracked && isFloat(kind) && (spec.gradient ?? true)
    tensors.push(t)
    arrays.push(array64(shape, await numbers(t)))
  }
  return { tensors, arrays }
}

function disposeAll(tensors: readonly (Tensor | null)[]): void {
  for (const t of tensors) t?.dispose()
}

interface CaseResult {
  /** The output, then the gradient of every input that wants one. */
  readonly results: readonly ArrayLike<number>[]
  readonly shape: Shape
  readonly type: DType
  /** What the gradient of the output was. */
  readonly weights: ArrayLike<number>
}

/** Forward and, where something wants a gradient, backward, on the device of the inputs. */
async function runCase<Options>(
  op: string,
  call: (...args: unknown[]) => Tensor,
  { name, options }: OpCase<Options>,
  tensors: readonly (Tensor | null)[],
  dtype: FloatDType,
): Promise<CaseResult> {
  const y = call(...tensors, options)
  const results: ArrayLike<number>[] = [await numbers(y)]
  let weights: ArrayLike<number> = []
  if (y.origin) {
    // A loss is scaled where gradients are float16: those of means are below its smallest numbers.
    const scale = dtype === 'float16' && y.size === 1 ? 1024 : 1
    const values = pseudoRandom(`${op}/${name}/dy`, y.size).map((x) => scale * x)
    const dy = roundedTensor(values, y.shape, y.dtype as FloatDType, y.device)
    weights = await numbers(dy)
    backward(y, dy)
    dy.dispose()
    for (const t of tensors) {
      if (!t?.requiresGrad) continue
      if (!t.grad) throw new Error(`${op}: an input that wants a gradient received none`)
      results.push(await numbers(t.grad))
      t.grad.dispose()
      t.grad = null
    }
  }
  const { shape, dtype: type } = y
  y.dispose()
  return { results, weights, shape, type }
}

/** d<y, w>/dx of the oracle by central differences: all elements when few, else along random directions. */
function checkGradient<Options>(
  label: string,
  suite: OpSuite<Options>,
  options: Options,
  arrays: readonly (Array64 | null)[],
  input: number,
  weights: ArrayLike<number>,
  actual: ArrayLike<number>,
  tolerance: Tolerance,
): void {
  const x = arrays[input]!
  const loss = (data: Float64Array): number => {
    const y = suite.oracle(
      arrays.map((array, i) => (i === input ? { shape: x.shape, data } : array)),
      options,
    )
    let sum = 0
    for (let i = 0; i < y.data.length; i++) sum += y.data[i]! * weights[i]!
    return sum
  }
  const h = 1e-5
  const along = (direction: ArrayLike<number>): number => {
    const up = x.data.map((value, i) => value + h * direction[i]!)
    const down = x.data.map((value, i) => value - h * direction[i]!)
    return (loss(up) - loss(down)) / (2 * h)
  }
  const count = x.data.length
  if (count <= 48) {
    const expected = Float64Array.from({ length: count }, (_, i) =>
      along(Float64Array.from({ length: count }, (_, j) => (i === j ? 1 : 0))),
    )
    expectClose(label, actual, expected, { ...tolerance, max: tolerance.max + 1e-6 })
    return
  }
  const norm = Math.sqrt(Array.from(actual as ArrayLike<number>).reduce((sum, v) => sum + v * v, 0))
  for (let d = 0; d < 3; d++) {
    const direction = pseudoRandom(`${label}/direction/${d}`, count)
    let dot = 0
    for (let i = 0; i < count; i++) dot += actual[i]! * direction[i]!
    const expected = along(direction)
    // The error of a dot product with a random direction is about that of the gradient's norm.
    const allowed = 4 * tolerance.rms * norm + 1e-7 * Math.max(1, Math.abs(expected))
    if (!(Math.abs(dot - expected) <= allowed))
      throw new Error(`${label}: directional derivative ${d} is ${dot}, expected ${expected} within ${allowed}`)
  }
}

/** An op to be called with inputs of cases, whose number and kinds only the cases know. */
function untyped<Inputs extends OpInputs, Options>(op: Op<Inputs, Options>): (...args: unknown[]) => Tensor {
  return op as unknown as (...args: unknown[]) => Tensor
}

export function opSuite<Inputs extends OpInputs, Options extends object>(
  op: Op<Inputs, Options>,
  suite: OpSuite<Options>,
): void {
  setStrict(true)
  const call = untyped(op)
  const gradients = op.differentiable && (suite.gradients ?? true)
  const dtypesUnderTest = suite.dtypes ?? (['float32', 'bfloat16', 'float16'] as const)
  const times = (factor: number, { rms, max }: Tolerance, rest: number, relative: number): Tolerance => ({
    rms: factor * rms,
    max: factor * max + rest,
    relative,
  })
  const gradientTolerance = suite.gradientTolerance ?? {
    float32: times(4, suite.tolerance.float32, 1e-6, 1e-5),
    bfloat16: times(3, suite.tolerance.bfloat16, 0, 2 ** -7),
    float16: times(3, toleranceOf(suite.tolerance, 'float16'), 0, 2 ** -10),
  }

  describe.each(cpuTargets())(`${op.opName} on %s`, (target) => {
    for (const dtype of dtypesUnderTest) {
      for (const testCase of suite.cases) {
        it(`${dtype}: ${testCase.name}`, async () => {
          setCpuTarget(target)
          addon.setMemoryGuards(true)
          try {
            const baseline = memory().liveBuffers
            const violations = memory().guardViolations
            const { tensors, arrays } = await build(op.opName, testCase.name, testCase.inputs, dtype, gradients, 'cpu')
            const run = (threads: number): Promise<CaseResult> => {
              setThreadCount(threads)
              return runCase(op.opName, call, testCase, tensors, dtype)
            }
            const once = await run(2)
            const again = await run(1)
            const third = await run(2)
            expect(again.results).toEqual(once.results)
            expect(third.results).toEqual(once.results)
            const expected = suite.oracle(arrays, testCase.options)
            expect(once.shape).toEqual(expected.shape)
            expectClose(
              `${op.opName} forward`,
              once.results[0]!,
              expected.data,
              toleranceOf(suite.tolerance, once.type === 'float32' || !isFloat(once.type) ? dtype : once.type),
            )
            let next = 1
            tensors.forEach((t, i) => {
              if (!t?.requiresGrad) return
              checkGradient(
                `${op.opName} gradient of ${op.inputNames[i]}`,
                suite,
                testCase.options,
                arrays,
                i,
                once.weights,
                once.results[next++]!,
                toleranceOf(gradientTolerance, dtype),
              )
            })
            if (op.reference && dtype === 'float32') {
              const y = op.reference(tensors as unknown as Inputs, testCase.options)
              expectClose(`${op.opName} reference`, await numbers(y), expected.data, gradientTolerance.float32)
              disposeReference(y)
            }
            disposeAll(tensors)
            await tensor([0], [1]).read()
            expect(memory().guardViolations - violations).toBe(0)
            expect(op.reference ? 0 : memory().liveBuffers - baseline).toBeLessThanOrEqual(1)
          } finally {
            addon.setMemoryGuards(false)
            setThreadCount(2)
          }
        })
      }
    }
  })
  if (suite.gpu) gpuSuite(op, suite, gradients, gradientTolerance)
}

/** The cases in the emulation: see the head of this file. */
function gpuSuite<Inputs extends OpInputs, Options extends object>(
  op: Op<Inputs, Options>,
  suite: OpSuite<Options>,
  gradients: boolean,
  gradientTolerance: Tolerances,
): void {
  const call = untyped(op)
  describe.runIf(canEmulate)(`${op.opName} on the emulated GPU`, () => {
    afterAll(() => setEmulation('ORDER', 'forward'))
    for (const dtype of suite.dtypes ?? (['float32', 'bfloat16', 'float16'] as const))
      for (const testCase of suite.cases)
        it(`${dtype}: ${testCase.name}`, async () => {
          const run = async (device: DeviceName) => {
            const built = await build(op.opName, testCase.name, testCase.inputs, dtype, gradients, device)
            const result = await runCase(op.opName, call, testCase, built.tensors, dtype)
            disposeAll(built.tensors)
            return { ...result, arrays: built.arrays }
          }
          const onCpu = await run('cpu')
          let first: CaseResult | undefined
          for (const order of orders) {
            setEmulation('ORDER', order)
            const { arrays: _, ...result } = await run('cuda')
            first ??= result
            expect(result, `in ${order} order`).toEqual(first)
          }
          const { results, type } = first!
          const forward = toleranceOf(suite.tolerance, isFloat(type) && type !== 'float32' ? type : dtype)
          expectClose(`${op.opName} forward`, results[0]!, suite.oracle(onCpu.arrays, testCase.options).data, forward)
          results.forEach((gradient, i) => {
            if (i === 0) return
            expectClose(
              `${op.opName} gradient ${i}`,
              gradient,
              onCpu.results[i]!,
              toleranceOf(gradientTolerance, dtype),
            )
          })
        })
  })
}

function disposeReference(y: Tensor): void {
  y.dispose()
}
