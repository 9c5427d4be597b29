import { cast } from '../../lib/ops/cast.ts'
import { type OptimizerRule, type OptimizerSlot, optimizerStep, ruleStates } from '../../lib/ops/optimizerStep.ts'
import { blockCount, dequantizeBlockwise } from '../../lib/ops/quantizeBlockwise.ts'
import { adamWDefaults, adamWDefinition } from '../../lib/optim/adamW.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { full, randomNormal, zeros } from '../tensors.ts'

// As many tensors as the U-Net of Stable Diffusion 1 has, at a fraction of their size.
const tensors = 686
const size = 40_000

const step = 3

function slot(index: number, codes: boolean, copied: boolean): OptimizerSlot {
  const state = (): Tensor => zeros([size], { dtype: codes ? 'uint8' : 'float32' })
  const scales = (): Tensor | null => (codes ? full([blockCount(size)], 0) : null)
  return {
    param: randomNormal([size], { seed: 1, stream: index }),
    gradient: randomNormal([size], { seed: 2, stream: index }),
    states: [state(), state(), null],
    absmax: [scales(), scales(), null],
    copy: copied ? zeros([size], { dtype: 'bfloat16' }) : null,
    row: 0,
  }
}

function bench(name: string, codes: boolean, copied: boolean): Bench {
  return {
    name: `${name} ${tensors}x${size}`,
    bytes: tensors * size * ((codes ? 16 : 28) + (copied ? 2 : 0)),
    setup() {
      const slots = Array.from({ length: tensors }, (_, i) => slot(i, codes, copied))
      const run = () => {
        optimizerStep('adamW', slots, [adamWDefinition.numbers({ ...adamWDefaults, learningRate: 1e-4 }, step, {})])
        return []
      }
      // One more step, so long that the change is not lost beside the parameter.
      const { param, gradient, states, absmax } = slots[0]!
      const long = { ...adamWDefaults, learningRate: 0.1 }
      const stepped = () => {
        optimizerStep('adamW', slots.slice(0, 1), [adamWDefinition.numbers(long, step, {})])
        return cast(param, { dtype: 'float32' })
      }
      const moment = (k: number, signed: boolean): Tensor => {
        const [codes, scales] = [states[k]!, absmax[k]]
        return scales ? dequantizeBlockwise({ codes, absmax: scales }, { signed }) : codes
      }
      const expect =
        (p: Float32Array, g: Float32Array, m: Float32Array, v: Float32Array) =>
        (i: number): number => {
          const { learningRate, betas, eps, weightDecay } = long
          const [beta1, beta2] = betas
          const first = (beta1 * m[i]! + (1 - beta1) * g[i]!) / (1 - beta1 ** step)
          const second = (beta2 * v[i]! + (1 - beta2) * g[i]! ** 2) / (1 - beta2 ** step)
          return (1 - learningRate * weightDecay) * p[i]! - (learningRate * first) / (Math.sqrt(second) + eps)
        }
      return {
        run,
        error: () => sampledError(stepped, [param, gradient, moment(0, true), moment(1, false)], expect),
      }
    },
  }
}

/** Any other rule with all its states in float32; the numbers do not matter for the time. */
function ruleBench(rule: OptimizerRule): Bench {
  const states = ruleStates[rule].length
  return {
    name: `${rule} ${tensors}x${size}`,
    bytes: tensors * size * (12 + 8 * states),
    setup() {
      const slots = Array.from({ length: tensors }, (_, index): OptimizerSlot => {
        const { param, gradient } = slot(index, false, false)
        const list = ruleStates[rule]
        return {
          param,
          gradient,
          states: list.map(() => full([size], 0.5)),
          absmax: list.map(() => null),
          copy: null,
          row: 0,
        }
      })
      const constants = Array.from({ length: 12 }, () => 0.01)
      return {
        run: () => {
          optimizerStep(rule, slots, [{ constants }])
          return []
        },
      }
    },
  }
}

export const benches: readonly Bench[] = [
  bench('adamW float32', false, false),
  bench('adamW float32 with bfloat16 copies', false, true),
  bench('adamW8bit', true, false),
  bench('adamW8bit with bfloat16 copies', true, true),
  ...(Object.keys(ruleStates) as OptimizerRule[]).filter((rule) => rule !== 'adamW').map(ruleBench),
]
