import { cast } from '../../lib/ops/cast.ts'
import { type FactoredAxes, type TensorRule, type TensorSlot, tensorStep } from '../../lib/ops/tensorStep.ts'
import { adaFactorDefaults, adaFactorDefinition } from '../../lib/optim/adaFactor.ts'
import { cameDefaults, cameDefinition } from '../../lib/optim/came.ts'
import { factoredShapes } from '../../lib/optim/fileAxes.ts'
import { stableAdamWDefaults, stableAdamWDefinition } from '../../lib/optim/stableAdamW.ts'
import type { Shape } from '../../lib/tensor/shape.ts'
import { sampledError, sumOf } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal, zeros } from '../tensors.ts'

const step = 3
const adaFactor = adaFactorDefinition.numbers(adaFactorDefaults, step)
const came = cameDefinition.numbers(cameDefaults, step)
const stable = stableAdamWDefinition.numbers({ ...stableAdamWDefaults, learningRate: 0.01, weightDecay: 0 }, step)

/** Projections and 3x3 convolutions as in the U-Net of Stable Diffusion 1, and the matrices of a LoRA. */
const sets: Readonly<Record<string, readonly (readonly [count: number, shape: Shape, axes: FactoredAxes])[]>> = {
  linear: [
    [8, [1280, 1280], [1, 1280, 1280, 1]],
    [2, [10240, 1280], [1, 10240, 1280, 1]],
  ],
  conv: [[2, [1280, 3, 3, 1280], [1280, 3, 3, 1280]]],
  lora: [
    [200, [16, 768], [1, 16, 768, 1]],
    [200, [768, 16], [1, 768, 16, 1]],
  ],
}

/** Elements of passes over memory: the parameter is read and written; gradient and states as often as the rule must. */
function bench(rule: TensorRule, set: string, numbers: readonly number[], bytesOfElement: number): Bench {
  const elements = sumOf(sets[set]!.length, (i) => {
    const [count, shape] = sets[set]![i]!
    return count * shape.reduce((a, b) => a * b, 1)
  })
  return {
    name: `${rule} ${set} ${(elements / 1e6).toFixed(1)}M`,
    bytes: elements * bytesOfElement,
    setup() {
      const slots = sets[set]!.flatMap(([count, shape, axes], kind) =>
        Array.from({ length: count }, (_, i): TensorSlot => {
          const [rows, columns] = factoredShapes(axes)
          const shapes = { adaFactor: [rows, columns, null], came: [rows, columns, shape, rows, columns] }
          const states = rule === 'stableAdamW' ? [shape, shape] : shapes[rule]
          return {
            param: randomNormal(shape, { seed: 1, stream: 1000 * kind + i }),
            gradient: randomNormal(shape, { seed: 2, stream: 1000 * kind + i }),
            states: states.map((s) => s && zeros(s)),
            copy: null,
            axes: rule === 'stableAdamW' ? null : axes,
            row: 0,
            rateIndex: null,
          }
        }),
      )
      const run = () => {
        tensorStep(rule, slots, [numbers])
        return []
      }
      if (rule !== 'stableAdamW') return { run }
      const { param, gradient, states } = slots[0]!
      const stepped = () => {
        tensorStep(rule, slots.slice(0, 1), [numbers])
        return cast(param, { dtype: 'float32' })
      }
      const expect = (p: Float32Array, g: Float32Array, m: Float32Array, v: Float32Array) => {
        const [beta1, rest1, beta2, rest2, rate, eps, least] = numbers as [number, number, number, number, ...number[]]
        const second = (i: number): number => beta2 * v[i]! + rest2 * g[i]! ** 2
        const size = Math.sqrt(sumOf(p.length, (i) => g[i]! ** 2 / Math.max(second(i), least!)) / p.length)
        return (i: number): number =>
          p[i]! - ((rate! / Math.max(1, size)) * (beta1 * m[i]! + rest1 * g[i]!)) / (Math.sqrt(second(i)) + eps!)
      }
      return { run, error: () => sampledError(stepped, [param, gradient, states[0]!, states[1]!], expect) }
    },
  }
}

// AdaFactor's states for a 3x3 convolution are two thirds of it.
export const benches: readonly Bench[] = [
  bench('adaFactor', 'linear', adaFactor, 12),
  bench('adaFactor', 'conv', adaFactor, 12 + (2 / 3) * 8),
  bench('adaFactor', 'lora', adaFactor, 12),
  bench('came', 'linear', came, 20),
  bench('stableAdamW', 'linear', stable, 28),
  bench('stableAdamW', 'lora', stable, 28),
]
