/** Optimizers that look at whole tensors, or at the whole model, before they step. */
import {
  type AdaptiveRule,
  type AdaptiveSettings,
  adaptiveRuleStates,
  adaptiveScalars,
  adaptiveStep,
} from '../ops/adaptiveStep.ts'
import { muonStep } from '../ops/muonStep.ts'
import { type FactoredAxes, type TensorRule, tensorStep } from '../ops/tensorStep.ts'
import { adaFactorDefaults, adaFactorDefinition } from '../optim/adaFactor.ts'
import { cameDefaults, cameDefinition } from '../optim/came.ts'
import { factoredShapes } from '../optim/fileAxes.ts'
import { stableAdamWDefaults, stableAdamWDefinition } from '../optim/stableAdamW.ts'
import { elementCount, type Shape } from '../tensor/shape.ts'
import { type CaseInput, type CaseSize, float32Only, type KernelCase, normals, positives } from './kernelCase.ts'

interface Sizes {
  readonly matrix: readonly [rows: number, columns: number]
  readonly kernel: readonly [outputs: number, height: number, width: number, inputs: number]
  /** Of the two matrices of a low-rank branch. */
  readonly rank: number
  readonly elements: number
}

const sizes: Readonly<Record<CaseSize, Sizes>> = {
  small: { matrix: [24, 70], kernel: [6, 3, 3, 10], rank: 4, elements: 2100 },
  full: { matrix: [640, 1280], kernel: [320, 3, 3, 320], rank: 16, elements: 4_000_000 },
}

/** A copy of the parameters in 16 bits. */
const copyOf = (shape: Shape): CaseInput => ({ shape, dtype: 'bfloat16' })

const rate = { learningRate: 0.01, weightDecay: 0.1 }
/** Of the step: rules start from zero. */
const step = 3
const numbers: Readonly<Record<TensorRule, readonly number[]>> = {
  adaFactor: adaFactorDefinition.numbers({ ...adaFactorDefaults, beta1: 0.9 }, step),
  came: cameDefinition.numbers({ ...cameDefaults, ...rate }, step),
  stableAdamW: stableAdamWDefinition.numbers({ ...stableAdamWDefaults, ...rate }, step),
}

/** @param axes null: every element has a second moment of its own */
function tensorCase(rule: TensorRule, shape: Shape, axes: FactoredAxes | null): KernelCase {
  const means = (axes ? factoredShapes(axes) : [shape]).map(positives)
  const states = {
    adaFactor: [...means, normals(shape)],
    came: [...means, normals(shape), ...means],
    stableAdamW: [normals(shape), ...means],
  }[rule]
  return {
    op: `tensorStep, ${rule}${shape.length === 4 ? ' of kernels' : axes ? '' : ' of elements'}`,
    inputs: [normals(shape), normals(shape), copyOf(shape), normals([1]), ...states],
    run([param, gradient, copy, rates, ...kept]) {
      // Without axes, the state of columns is missing.
      const all = rule === 'adaFactor' && !axes ? [kept[0]!, null, kept[1]!] : kept
      const slot = { param: param!, gradient: gradient!, states: all, copy: copy!, axes, row: 0, rateIndex: 0 }
      tensorStep(rule, [slot], [numbers[rule]], { rates: rates! })
      return [param!, copy!, rates!, ...kept]
    },
    forward: 'sum',
    dtypes: float32Only,
  }
}

/** Of a tensor as a matrix of its first axis by all others, the shorter one first. */
function sidesOf(shape: Shape): readonly [shorter: number, longer: number] {
  const [rows, columns] = [shape[0]!, elementCount(shape) / shape[0]!]
  return [Math.min(rows, columns), Math.max(rows, columns)]
}

/** Five steps of three products: two of the matrix with its shorter side's square, one of squares. */
function muonFlops(shape: Shape): number {
  const [side, length] = sidesOf(shape)
  return 5 * (4 * side ** 2 * length + 2 * side ** 3)
}

function muonCase(shapes: readonly Shape[], name: string, half = false): KernelCase {
  return {
    op: `muonStep, ${name}${half ? ' in bfloat16' : ''}`,
    inputs: shapes.flatMap((shape) => [normals(shape), normals(shape), normals(shape), copyOf(shape)]),
    run(inputs) {
      const slots = shapes.map((shape, i) => {
        const [param, gradient, momentum, copy] = inputs.slice(4 * i, 4 * i + 4)
        const tensors = { param: param!, gradient: gradient!, momentum: momentum!, copy: copy! }
        // A tenth of the parameters' size, whatever the matrix's: roundings to bfloat16 alone change a step by some hundredths.
        const rate = 0.1 * Math.sqrt(sidesOf(shape)[1])
        return { ...tensors, keep: 0.95, nesterov: true, decay: 0.9, rate }
      })
      muonStep(slots, { half })
      return slots.flatMap(({ param, momentum, copy }) => [param, momentum, copy])
    },
    forward: half ? 'bfloat16Products' : 'sum',
    dtypes: float32Only,
    flops: { forward: shapes.reduce((sum, shape) => sum + muonFlops(shape), 0), backward: 0 },
  }
}

/** Of learning-rate-free steps, as cases and tests take them: with every switch on, and numbers that leave traces. */
export const adaptiveSettings: AdaptiveSettings = {
  learningRate: 1,
  beta1: 0.9,
  beta2: 0.99,
  beta3: 0.98,
  growthRate: Number.POSITIVE_INFINITY,
  d0: 1e-3,
  dCoef: 1,
  momentum: 0.5,
  decouple: true,
  useBiasCorrection: true,
  safeguardWarmup: true,
  noProx: true,
  sliceP: 1,
}

/** From the first: some rules find a larger step size only after several. */
const adaptiveSteps = 6

/** Every `sliceP`-th element has all states: only for Prodigy above 1. */
function adaptiveCase(rule: AdaptiveRule, size: number, sliceP = 1): KernelCase {
  // A gradient along the parameters, so that the step size grows.
  const along: CaseInput = { shape: [size], dtype: 'float32', at: (i) => ((i * 7) % 13) / 13 - 0.4 }
  const states = Array.from({ length: adaptiveRuleStates[rule] }, (_, k): CaseInput => {
    const shape = [sliceP > 1 && k >= 2 ? Math.ceil(size / sliceP) : size]
    // Adan's last gradient is not a number before there is one.
    return { shape, dtype: 'float32', at: () => (k === 4 ? Number.NaN : 0) }
  })
  return {
    op: `adaptiveStep, ${rule}${sliceP > 1 ? `, slices of ${sliceP}` : ''}`,
    inputs: [along, along, copyOf([size]), ...states],
    run([param, gradient, copy, ...kept], device) {
      const scalars = adaptiveScalars(adaptiveSettings.d0, device)
      const slot = { param: param!, gradient: gradient!, states: kept, copy: copy!, row: 0 }
      const group = { factor: 1, weightDecay: 0.1, eps: 1e-8 }
      for (let t = 0; t < adaptiveSteps; t++)
        adaptiveStep(rule, [{ ...slot, fresh: t === 0 }], [group], { ...adaptiveSettings, sliceP }, scalars)
      return [param!, copy!, ...kept]
    },
    forward: 'sum',
    dtypes: float32Only,
    // Once each way: the gradient is read, the copy written, all else both; the second pass's reads come on top.
    bytes: adaptiveSteps * (14 * size + 8 * states.reduce((sum, { shape }) => sum + shape[0]!, 0)),
  }
}

/** The cases of a size. */
export function tensorwiseCases(size: CaseSize): readonly KernelCase[] {
  const { matrix, kernel, rank, elements } = sizes[size]
  const [rows, columns] = matrix
  const rules = Object.keys(adaptiveRuleStates) as AdaptiveRule[]
  return [
    tensorCase('adaFactor', matrix, [1, rows, columns, 1]),
    tensorCase('adaFactor', kernel, kernel),
    tensorCase('adaFactor', [elements], null),
    tensorCase('came', matrix, [1, rows, columns, 1]),
    tensorCase('came', kernel, kernel),
    tensorCase('stableAdamW', [elements], null),
    muonCase([matrix], 'matrix'),
    muonCase([matrix], 'matrix', true),
    muonCase([kernel], 'kernels'),
    muonCase(
      [
        [rank, columns],
        [rank, columns],
        [rows, rank],
      ],
      'low rank',
    ),
    ...rules.map((rule) => adaptiveCase(rule, elements)),
    adaptiveCase('prodigy', elements, 11),
  ]
}
