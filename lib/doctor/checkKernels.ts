/** Runs the cases of kernels on a device, compares with the CPU and times them. */
import { backward } from '../autograd/backward.ts'
import { cast } from '../ops/cast.ts'
import { scale } from '../ops/scale.ts'
import { randomNormal, tensor } from '../tensor/create.ts'
import { type DType, type FloatDType, isFloat, itemSize } from '../tensor/dtype.ts'
import { cpuTarget, setCpuTarget } from '../tensor/runtime.ts'
import { scope } from '../tensor/scope.ts'
import { elementCount } from '../tensor/shape.ts'
import type { DeviceName, Tensor } from '../tensor/tensor.ts'
import { compareAll, type Difference } from './compare.ts'
import type { DevicePeaks } from './devicePeaks.ts'
import { type CaseInput, type KernelCase, shapesOf } from './kernelCase.ts'
import { medianMs } from './timing.ts'
import { type ToleranceClass, tolerances } from './tolerances.ts'

export interface KernelResult {
  readonly op: string
  readonly pass: 'forward' | 'backward'
  readonly dtype: FloatDType
  /** Of the inputs, or of the first ten of them. */
  readonly shape: string
  readonly passed: boolean
  /** What the device said, where the kernel did not run; all numbers are null then. */
  readonly failure: string | null
  /** The worst of all results. */
  readonly difference: Difference | null
  readonly tolerance: { readonly rms: number; readonly max: number; readonly relative: number }
  readonly medianMs: number | null
  /** One of the two is given: of arithmetic for matrix ops, of memory for all others. */
  readonly gflops: number | null
  readonly gbs: number | null
  readonly peakShare: number | null
}

export interface CheckOptions {
  readonly device: DeviceName
  readonly cases: readonly KernelCase[]
  readonly peaks: DevicePeaks
  /** Called with each result as it is known. */
  readonly onResult?: (result: KernelResult) => void
}

/**
 * Runs every case in every dtype, forward and backward. Expected numbers are float32 results of the CPU from the same rounded inputs: of
 * its best instruction set, or, where the CPU itself is checked, of the one that every processor has. A kernel that fails is a result;
 * nothing is thrown for it.
 */
export async function checkKernels({ device, cases, peaks, onResult }: CheckOptions): Promise<readonly KernelResult[]> {
  const results: KernelResult[] = []
  for (const kernelCase of cases)
    for (const dtype of kernelCase.dtypes ?? (['float32', 'bfloat16', 'float16'] as const))
      for (const result of await checkCase(kernelCase, dtype, device, peaks)) {
        results.push(result)
        onResult?.(result)
      }
  return results
}

type Pass = KernelResult['pass']

async function checkCase(
  kernelCase: KernelCase,
  dtype: FloatDType,
  device: DeviceName,
  peaks: DevicePeaks,
): Promise<readonly KernelResult[]> {
  const passes: readonly Pass[] = kernelCase.backward ? ['forward', 'backward'] : ['forward']
  const made: Tensor[] = []
  const owned = <T extends Tensor>(x: T): T => {
    made.push(x)
    return x
  }
  try {
    const [onCpu, onDevice, timed] = [[], [], []] as [Tensor[], Tensor[], Tensor[]]
    for (const [i, input] of kernelCase.inputs.entries()) {
      const values = owned(valuesOf(input, i + 1, dtype))
      const data = await values.read()
      const copy = (): Tensor => owned(tensor(data, values.shape, { dtype: values.dtype, device }))
      onCpu.push(input.dtype === undefined ? owned(cast(values, { dtype: 'float32' })) : values)
      onDevice.push(copy())
      timed.push(copy())
    }
    return await comparePasses({ kernelCase, dtype, device, peaks, passes, onCpu, onDevice, timed })
  } catch (error) {
    const [failure] = (error as Error).message.split('\n')
    return passes.map((pass) => ({
      ...heading(kernelCase, dtype, pass),
      passed: false,
      failure: failure!,
      difference: null,
      medianMs: null,
      gflops: null,
      gbs: null,
      peakShare: null,
    }))
  } finally {
    for (const x of made) x.dispose()
  }
}

interface Prepared {
  readonly kernelCase: KernelCase
  readonly dtype: FloatDType
  readonly device: DeviceName
  readonly peaks: DevicePeaks
  readonly passes: readonly Pass[]
  readonly onCpu: readonly Tensor[]
  readonly onDevice: readonly Tensor[]
  /** The same once more, for ops that change their inputs. */
  readonly timed: readonly Tensor[]
}

async function comparePasses(prepared: Prepared): Promise<readonly KernelResult[]> {
  const { kernelCase, dtype, device, passes, onCpu, onDevice } = prepared
  const run = async (pass: Pass, where: DeviceName, inputs: readonly Tensor[], dy: Tensor | null): Promise<Outcome> => {
    const best = cpuTarget()
    const isReference = inputs === onCpu
    if (isReference && device === 'cpu') setCpuTarget('baseline')
    try {
      return await outcomeOf(kernelCase, pass, where, inputs, dy)
    } finally {
      setCpuTarget(best)
    }
  }
  const results: KernelResult[] = []
  let forward: Outcome | undefined
  let forwardMs = 0
  for (const pass of passes) {
    const dys = pass === 'forward' || forward === undefined ? [null, null] : await gradientsOf(forward, device)
    try {
      const expected = await run(pass, 'cpu', onCpu, dys[0]!)
      const actual = await run(pass, device, onDevice, dys[1]!)
      forward ??= actual
      const difference = compareAll(actual.values, expected.values, actual.dtypes, kernelCase[pass]!, dtype)
      const both = await medianMs(() => enqueue(kernelCase, pass, device, prepared.timed, dys[1]!), device)
      const ms = pass === 'forward' ? both : both - forwardMs
      forwardMs = both
      results.push({
        ...heading(kernelCase, dtype, pass),
        passed: difference.share <= 1,
        failure: null,
        difference,
        ...speed(prepared, pass, actual, forward, ms),
      })
    } finally {
      for (const dy of dys) dy?.dispose()
    }
  }
  return results
}

const heading = (kernelCase: KernelCase, dtype: FloatDType, pass: Pass) => ({
  op: kernelCase.op,
  pass,
  dtype,
  shape: shapesOf(kernelCase),
  tolerance: tolerances[kernelCase[pass] as ToleranceClass][dtype],
})

function speed(
  { kernelCase, dtype, peaks, onDevice }: Prepared,
  pass: Pass,
  { bytes }: Outcome,
  forward: Outcome,
  ms: number,
): Pick<KernelResult, 'medianMs' | 'gflops' | 'gbs' | 'peakShare'> {
  // A backward pass is the difference of two times, which noise can turn around.
  if (!(ms > 0)) return { medianMs: null, gflops: null, gbs: null, peakShare: null }
  if (kernelCase.flops) {
    const gflops = kernelCase.flops[pass] / ms / 1e6
    const peak = peaks.gflops[dtype]
    return { medianMs: ms, gflops, gbs: null, peakShare: peak && gflops / peak }
  }
  const inputs = onDevice.reduce((sum, x) => sum + x.size * itemSize[x.dtype], 0)
  const moved = pass === 'forward' ? (kernelCase.bytes ?? inputs + bytes) : inputs + bytes + forward.bytes
  const gbs = moved / ms / 1e6
  return { medianMs: ms, gflops: null, gbs, peakShare: gbs / peaks.gbs }
}

/** The numbers of an input in its dtype, on the CPU. */
function valuesOf({ shape, dtype, scale: factor = 1, at }: CaseInput, seed: number, under: FloatDType): Tensor {
  const kind: DType = dtype ?? under
  const count = elementCount(shape)
  if (at && !isFloat(kind))
    return tensor(
      Array.from({ length: count }, (_, i) => at(i)),
      shape,
      { dtype: kind },
    )
  return scope(() => {
    const values = at
      ? tensor(
          Float32Array.from({ length: count }, (_, i) => at(i)),
          shape,
        )
      : scale(randomNormal(shape, { seed }), { factor })
    return cast(values, { dtype: kind })
  })
}

interface Outcome {
  /** Forward: the results; backward: the gradients. 16-bit floats are widened. */
  readonly values: readonly ArrayLike<number>[]
  readonly dtypes: readonly DType[]
  readonly bytes: number
  readonly shape: readonly number[]
}

/** What a pass makes, enqueued. In a scope. */
function enqueue(
  kernelCase: KernelCase,
  pass: Pass,
  device: DeviceName,
  inputs: readonly Tensor[],
  dy: Tensor | null,
): readonly Tensor[] {
  const wanting = inputs.filter((x, i) => isFloat(x.dtype) && kernelCase.inputs[i]!.gradient !== false)
  for (const x of wanting) x.requiresGrad = pass === 'backward'
  const made = kernelCase.run(inputs, device)
  const results = Array.isArray(made) ? (made as readonly Tensor[]) : [made as Tensor]
  if (pass === 'forward') return results
  backward(results[0]!, dy!)
  return wanting.flatMap((x) => {
    const gradient = x.grad
    x.grad = null
    x.requiresGrad = false
    return gradient ? [gradient] : []
  })
}

async function outcomeOf(
  kernelCase: KernelCase,
  pass: Pass,
  device: DeviceName,
  inputs: readonly Tensor[],
  dy: Tensor | null,
): Promise<Outcome> {
  const results = scope(() => enqueue(kernelCase, pass, device, inputs, dy))
  try {
    const values: ArrayLike<number>[] = []
    for (const x of results) {
      const wide = isFloat(x.dtype) && x.dtype !== 'float32' ? cast(x, { dtype: 'float32' }) : x
      const data = await wide.read()
      values.push(data instanceof BigInt64Array ? Array.from(data, Number) : data)
      if (wide !== x) wide.dispose()
    }
    return {
      values,
      dtypes: results.map(({ dtype }) => dtype),
      bytes: results.reduce((sum, x) => sum + x.size * itemSize[x.dtype], 0),
      shape: results[0]!.shape,
    }
  } finally {
    for (const x of results) if (!inputs.includes(x)) x.dispose()
  }
}

/** A gradient of the first result, the same numbers on both sides: float32 on the CPU, the result's own type on the device. */
async function gradientsOf({ shape, dtypes }: Outcome, device: DeviceName): Promise<readonly [Tensor, Tensor]> {
  // A loss is scaled, so that the gradients of a mean are among the numbers of float16.
  const rounded = valuesOf({ shape, dtype: dtypes[0]!, scale: elementCount(shape) === 1 ? 1024 : 1 }, 99, 'float32')
  const onDevice = tensor(await rounded.read(), shape, { dtype: rounded.dtype, device })
  const wide = cast(rounded, { dtype: 'float32' })
  rounded.dispose()
  return [wide, onDevice]
}
