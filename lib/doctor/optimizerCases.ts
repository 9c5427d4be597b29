/** What happens to gradients and parameters, outside the tape and in place. */
import { accumulate, copyInto, scaleInPlace } from '../ops/accumulate.ts'
import { gradientNorm } from '../ops/gradientNorm.ts'
import { limitNorms } from '../ops/limitNorms.ts'
import { type OptimizerRule, optimizerStep, ruleStates } from '../ops/optimizerStep.ts'
import { blockCount, dequantizeBlockwise, quantizeBlockwise } from '../ops/quantizeBlockwise.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type CaseInput, type CaseSize, float32Only, type KernelCase, normals, positives } from './kernelCase.ts'

const elements: Readonly<Record<CaseSize, number>> = { small: 2100, full: 4_000_000 }

/** Numbers that no rule divides by zero with; twelve are the most that a rule takes. */
const constants = Array.from({ length: 12 }, (_, i) => 0.1 + 0.07 * i)

function ruleCase(rule: OptimizerRule, size: number): KernelCase {
  const list = ruleStates[rule]
  return {
    op: `optimizerStep, ${rule}`,
    // The centred rule of RMSprop takes a root of its first state less the square of another.
    inputs: [
      normals([size]),
      normals([size]),
      ...list.map((signed, k) => (signed && !(rule === 'rmsProp' && k === 0) ? normals([size]) : positives([size]))),
    ],
    run([param, gradient, ...states]) {
      const slot = { param: param!, gradient: gradient!, states, absmax: states.map(() => null), copy: null, row: 0 }
      optimizerStep(rule, [slot], [{ decay: 0.99, constants }])
      return [param!, ...states]
    },
    forward: 'step',
    dtypes: float32Only,
  }
}

/** States of 8 bits, and a copy of the parameters in 16. */
function codedCase(rule: OptimizerRule, states: number, size: number): KernelCase {
  return {
    op: `optimizerStep, ${rule} in 8 bits`,
    inputs: [
      normals([size]),
      normals([size]),
      { shape: [size], dtype: 'bfloat16' },
      ...Array.from(
        { length: states },
        (): CaseInput => ({ shape: [size], dtype: 'uint8', at: (i) => 140 + (i % 90) }),
      ),
      ...Array.from({ length: states }, () => positives([blockCount(size)])),
    ],
    run([param, gradient, copy, ...kept]) {
      const pad = (list: readonly Tensor[]): (Tensor | null)[] => ruleStates[rule].map((_, k) => list[k] ?? null)
      const [codes, absmax] = [kept.slice(0, states), kept.slice(states)]
      const slot = { param: param!, gradient: gradient!, states: pad(codes), absmax: pad(absmax), copy: copy!, row: 0 }
      optimizerStep(rule, [slot], [{ decay: 0.99, constants }])
      return [param!, copy!, ...codes, ...absmax]
    },
    forward: 'step',
    dtypes: float32Only,
  }
}

/** The cases of a size. */
export function optimizerCases(size: CaseSize): readonly KernelCase[] {
  const count = elements[size]
  const shape = [count]
  const rules = Object.keys(ruleStates) as OptimizerRule[]
  return [
    {
      op: 'accumulate',
      inputs: [normals(shape), { shape }],
      forward: 'step',
      run([y, x]) {
        accumulate(y!, x!)
        return y!
      },
    },
    {
      op: 'copyInto',
      inputs: [normals(shape), { shape }],
      forward: 'step',
      run([y, x]) {
        copyInto(y!, x!)
        return y!
      },
    },
    {
      op: 'scaleInPlace',
      inputs: [{ shape }],
      forward: 'element',
      run([y]) {
        scaleInPlace(y!, 0.99)
        return y!
      },
    },
    {
      op: 'gradientNorm',
      inputs: [normals([count >> 1]), normals([count >> 2]), normals([77])],
      run: (gradients) => gradientNorm(gradients, 1),
      forward: 'sum',
      dtypes: float32Only,
    },
    {
      op: 'limitNorms',
      inputs: [normals([count >> 1]), normals([count >> 2]), { shape: [1], dtype: 'float32', at: () => 9 }],
      run([down, up, square]) {
        const norms = limitNorms([{ factors: [down!, up!], square: square! }], 1)
        return [norms, down!, up!]
      },
      forward: 'step',
      dtypes: float32Only,
    },
    {
      op: 'quantizeBlockwise',
      inputs: [{ shape }],
      run([x]) {
        const { codes, absmax } = quantizeBlockwise(x!)
        return [codes, absmax]
      },
      forward: 'element',
      dtypes: float32Only,
    },
    {
      op: 'dequantizeBlockwise',
      inputs: [{ shape, dtype: 'uint8', at: (i) => i & 255 }, positives([blockCount(count)])],
      run: ([codes, absmax]) => dequantizeBlockwise({ codes: codes!, absmax: absmax! }),
      forward: 'element',
      dtypes: float32Only,
    },
    ...rules.map((rule) => ruleCase(rule, count)),
    codedCase('adamW', 2, count),
    codedCase('lion', 1, count),
    codedCase('adEMAMix', 3, count),
  ]
}
