/** Optimizers that look at whole tensors: their CUDA kernels in the emulation, compared with the CPU's. */
import { describe, it } from 'vitest'
import { muonStep } from '../../lib/ops/muonStep.ts'
import { type FactoredAxes, tensorStep } from '../../lib/ops/tensorStep.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'
import type { FloatDType } from '../../lib/tensor/dtype.ts'
import { elementCount, type Shape } from '../../lib/tensor/shape.ts'
import type { DeviceName, Tensor } from '../../lib/tensor/tensor.ts'
import { expectCloseOnGpu } from '../support/closeOnGpu.ts'
import { canEmulate } from '../support/emulatedGpu.ts'
import { pseudoRandom } from '../support/float64.ts'
import { roundedTensor } from '../support/opSuite.ts'
import { expectSameBits } from '../support/sameOnGpu.ts'
import { type RuleCase, rules, stateShapes } from '../support/tensorRules.ts'

/** Blocks of rows (more of them than warps), wide rows, odd rows, kernels, 1x1 kernels, and tensors that are not factored. */
const shapes: readonly (readonly [Shape, FactoredAxes | null])[] = [
  [
    [4700, 3],
    [1, 4700, 3, 1],
  ],
  [
    [70, 300],
    [1, 70, 300, 1],
  ],
  [
    [2, 9, 33],
    [2, 9, 33, 1],
  ],
  [
    [3, 3, 3, 50],
    [3, 3, 3, 50],
  ],
  [
    [12, 40],
    [12, 1, 1, 40],
  ],
  [
    [2, 70, 5, 3],
    [2, 70, 5, 3],
  ],
  [[17_001], null],
  [[1], null],
]

/** Three steps on one device: the copies, then all else that changed. */
function run(rule: RuleCase, dtype: FloatDType, device: DeviceName, clip?: readonly [number, number], seed?: bigint) {
  const rates = zeros([shapes.length], { device })
  const slots = shapes.map(([shape, axes], k) => ({
    param: roundedTensor(pseudoRandom(`p${k}`, elementCount(shape)), shape, dtype, device),
    gradient: roundedTensor(pseudoRandom(`g${k}`, elementCount(shape)), shape, 'float32', device),
    states: stateShapes(rule, shape, axes).map((state) => state && zeros(state, { device })),
    copy: k % 2 ? zeros(shape, { dtype: 'float16', device }) : null,
    axes: rule.rule === 'stableAdamW' ? null : axes,
    row: 0,
    rateIndex: k,
  }))
  for (const t of [1, 2, 3])
    tensorStep(rule.rule, slots, [rule.numbers(t)], {
      clip: clip ? tensor([...clip], [2], { device }) : null,
      rates,
      roundingSeed: seed,
    })
  const changed = [...slots.map(({ copy }) => copy), rates, ...slots.flatMap(({ param, states }) => [param, ...states])]
  return changed.filter((x): x is Tensor => x !== null)
}

const stepTolerance = { rms: 2e-6, max: 2e-5, relative: 1e-5 }

/** Two steps of matrices of all shapes on one device: the parameters, copies and momenta. */
function runMuon(
  half: boolean,
  dtype: FloatDType,
  device: DeviceName,
  clip?: readonly [number, number],
  seed?: bigint,
) {
  const matrices: readonly Shape[] = [
    [4, 320],
    [33, 17],
    [4, 320],
    [1, 5],
    [7, 1],
    [24, 3, 3, 5],
    [66, 70],
  ]
  const made = (name: string, shape: Shape, type: FloatDType) =>
    roundedTensor(pseudoRandom(name, elementCount(shape)), shape, type, device)
  const slots = matrices.map((shape, k) => ({
    param: made(`p${k}`, shape, dtype),
    gradient: made(`g${k}`, shape, 'float32'),
    momentum: made(`m${k}`, shape, 'float32'),
    copy: k % 2 ? zeros(shape, { dtype: 'float16', device }) : null,
    keep: 0.95,
    nesterov: k !== 1,
    decay: 0.9,
    rate: 0.1 * (k + 1),
  }))
  const options = { half, clip: clip ? tensor([...clip], [2], { device }) : null, roundingSeed: seed }
  for (let t = 0; t < 2; t++) muonStep(slots, options)
  return slots.flatMap(({ param, copy, momentum }) => [momentum, param, ...(copy ? [copy] : [])])
}

describe.runIf(canEmulate)('optimizers that look at whole tensors, on the GPU', () => {
  it.each(rules)('step as on the CPU: $name', async (rule) => {
    await expectCloseOnGpu(
      (device) => run(rule, 'float32', device, [4, 0.25]),
      // A copy's number near the border between two goes either way.
      [...Array.from({ length: shapes.length / 2 }, () => ({ ...stepTolerance, rms: 1e-4 })), stepTolerance],
    )
  })
  it.each(rules)('change nothing when the norm is not finite: $name', async (rule) => {
    await expectSameBits((device) => run(rule, 'float32', device, [Number.NaN, 1]))
  })
  it.each(['bfloat16', 'float16'] as const)('round %s parameters, to nearest and by chance', async (dtype) => {
    // A number near the border between two goes either way: by one step of the type.
    for (const seed of [undefined, 7n])
      for (const rule of [rules[0]!, rules[3]!])
        await expectCloseOnGpu(
          (device) => run(rule, dtype, device, undefined, seed),
          [{ rms: 1e-4, max: 2e-5, relative: 2 ** (dtype === 'bfloat16' ? -7 : -10) }],
        )
  })
})

describe.runIf(canEmulate)('Muon on the GPU', () => {
  it('steps matrices of all shapes as on the CPU', async () => {
    const compute = (device: DeviceName) => runMuon(false, 'float32', device, [4, 0.25])
    await expectCloseOnGpu(compute, [{ rms: 1e-4, max: 1e-5, relative: 1e-5 }]) // copies are float16
  })
  it('keeps the matrices of the iteration in bfloat16', async () => {
    // Sums in another order round to other numbers, and each step of the iteration makes more of that.
    await expectCloseOnGpu((device) => runMuon(true, 'float32', device), [{ rms: 5e-3, max: 2e-2 }])
  })
  it('rounds parameters by chance', async () => {
    const compute = (device: DeviceName) => runMuon(false, 'bfloat16', device, undefined, 7n)
    await expectCloseOnGpu(compute, [{ rms: 5e-4, max: 1e-5, relative: 2 ** -7 }])
  })
  it('changes nothing when the norm is not finite', async () => {
    await expectSameBits((device) => runMuon(false, 'float32', device, [Number.NaN, 1]))
  })
})
