/**
 * Runs the committed float64 references of an op (test/fixtures/ops/<op>.json): results and gradients, in float32 and
 * bfloat16. Small cases run on every instruction set, large ones on the best.
 */
import { describe, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import type { Op, OpInputs } from '../../lib/autograd/defineOp.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { cpuTargets, setCpuTarget, setThreadCount } from '../../lib/tensor/runtime.ts'
import { elementCount } from '../../lib/tensor/shape.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { type DigestTolerance, expectDigest } from './digest.ts'
import { type FixtureDType, loadOpFixture, type OpCase, opInput } from './fixtureCases.ts'
import { toBFloat16Bits } from './float64.ts'
import { numbers } from './opSuite.ts'

export interface FixtureSuite {
  readonly tolerance: Readonly<Record<FixtureDType, DigestTolerance>>
  /** Default: twice `tolerance`. */
  readonly gradientTolerance?: Readonly<Record<FixtureDType, DigestTolerance>>
  /** Tolerance of results and gradients of a case, where it differs from the suite's. */
  readonly caseTolerance?: (opCase: OpCase, dtype: FixtureDType) => DigestTolerance | null
  /** Cases whose inputs have more elements run on the best instruction set alone. Default 200,000. */
  readonly largeFrom?: number
}

/** `stored`: the dtype of the tensor, where that is not `dtype`; its values are rounded to `dtype` all the same. */
function inputTensor(op: string, opCase: OpCase, name: string, dtype: FixtureDType, stored = dtype as string): Tensor {
  const values = opInput(op, opCase, name, dtype)
  const spec = name === 'dy' ? opCase.dy! : opCase.inputs[name]!
  const rounded =
    dtype === 'bfloat16' && stored === dtype && values instanceof Float32Array && !opCase.keepFloat32?.includes(name)
  return rounded ? tensor(toBFloat16Bits(values), spec.shape, { dtype }) : tensor(values, spec.shape)
}

/** Declares one test for each case, dtype and instruction set. */
export function fixtureSuite<Inputs extends OpInputs, Options>(op: Op<Inputs, Options>, suite: FixtureSuite): void {
  const fixture = loadOpFixture(op.opName)
  const call = op as unknown as (...args: unknown[]) => Tensor
  const targets = cpuTargets()

  const runCase = async (opCase: OpCase, dtype: FixtureDType): Promise<void> => {
    const reference = opCase[dtype]!
    const special = suite.caseTolerance?.(opCase, dtype) ?? null
    const scaled = (t: DigestTolerance, factor: number): DigestTolerance => ({
      rms: t.rms * factor,
      max: t.max * factor,
      relative: (t.relative ?? 0) * factor,
    })
    const factor = opCase.toleranceFactor ?? 1
    const tolerance = special ?? scaled(suite.tolerance[dtype], factor)
    const gradientTolerance =
      special ?? scaled(suite.gradientTolerance?.[dtype] ?? scaled(suite.tolerance[dtype], 2), factor)
    const inputs = op.inputNames.map((name) =>
      opCase.inputs[name] ? inputTensor(op.opName, opCase, name, dtype) : null,
    )
    inputs.forEach((input, i) => {
      if (input) input.requiresGrad = reference.gradients?.[op.inputNames[i]!] !== undefined
    })
    const y = call(...inputs, opCase.options)
    const gradients: [Tensor, string][] = []
    if (opCase.dy) {
      const dy = inputTensor(op.opName, opCase, 'dy', dtype, y.dtype)
      backward(y, dy)
      dy.dispose()
    }
    op.inputNames.forEach((name, i) => {
      const gradient = inputs[i]?.grad
      if (gradient) gradients.push([gradient, name])
    })
    expectDigest(await numbers(y), reference.output, tolerance)
    for (const [name, digest] of Object.entries(reference.gradients ?? {})) {
      const found = gradients.find(([, of]) => of === name)
      if (!found) throw new Error(`${op.opName}: no gradient of ${name}`)
      expectDigest(await numbers(found[0]), digest, gradientTolerance)
    }
    y.dispose()
    for (const input of inputs) input?.dispose()
  }

  describe.each(targets)(`${op.opName} fixtures on %s`, (target) => {
    for (const opCase of fixture.cases) {
      const sizes = Object.values(opCase.inputs).map((spec) => elementCount(spec.shape))
      const large = sizes.reduce((a, b) => a + b) > (suite.largeFrom ?? 200_000)
      if (large && target !== targets.at(-1)) continue
      for (const dtype of ['float32', 'bfloat16'] as const) {
        if (!opCase[dtype]) continue
        it(`${dtype}: ${opCase.name}`, async () => {
          setCpuTarget(target)
          setThreadCount(2)
          await runCase(opCase, dtype)
        })
      }
    }
  })
}
