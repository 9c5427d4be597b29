import { type AdamWSlot, adamWStep } from '../../lib/ops/adamW.ts'
import { cast } from '../../lib/ops/cast.ts'
import { blockCount, dequantizeBlockwise } from '../../lib/ops/quantizeBlockwise.ts'
import { full, randomNormal, zeros } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'

// As many tensors as the U-Net of Stable Diffusion 1 has, at a fraction of their size.
const tensors = 686
const size = 40_000

function slot(index: number, codes: boolean, copied: boolean): AdamWSlot {
  return {
    param: randomNormal([size], { seed: 1, stream: index }),
    gradient: randomNormal([size], { seed: 2, stream: index }),
    state1: zeros([size], { dtype: codes ? 'uint8' : 'float32' }),
    state2: zeros([size], { dtype: codes ? 'uint8' : 'float32' }),
    absmax1: codes ? full([blockCount(size)], 0) : null,
    absmax2: codes ? full([blockCount(size)], 0) : null,
    copy: copied ? zeros([size], { dtype: 'bfloat16' }) : null,
    group: 0,
    step: 3,
  }
}

function bench(name: string, codes: boolean, copied: boolean): Bench {
  return {
    name: `${name} ${tensors}x${size}`,
    bytes: tensors * size * ((codes ? 16 : 28) + (copied ? 2 : 0)),
    setup() {
      const slots = Array.from({ length: tensors }, (_, i) => slot(i, codes, copied))
      const group = { learningRate: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01 }
      const run = () => {
        adamWStep(slots, [group])
        return []
      }
      // One more step, so long that the change is not lost beside the parameter.
      const { param, gradient, state1, state2, absmax1, absmax2, step } = slots[0]!
      const long = { ...group, learningRate: 0.1 }
      const stepped = () => {
        adamWStep(slots.slice(0, 1), [long])
        return cast(param, { dtype: 'float32' })
      }
      const moment = (codes: Tensor, absmax: Tensor | null, signed: boolean) =>
        absmax ? dequantizeBlockwise({ codes, absmax }, { signed }) : codes
      const expect =
        (p: Float32Array, g: Float32Array, m: Float32Array, v: Float32Array) =>
        (i: number): number => {
          const { learningRate, beta1, beta2, eps, weightDecay } = long
          const first = (beta1 * m[i]! + (1 - beta1) * g[i]!) / (1 - beta1 ** step)
          const second = (beta2 * v[i]! + (1 - beta2) * g[i]! ** 2) / (1 - beta2 ** step)
          return (1 - learningRate * weightDecay) * p[i]! - (learningRate * first) / (Math.sqrt(second) + eps)
        }
      return {
        run,
        error: () =>
          sampledError(
            stepped,
            [param, gradient, moment(state1, absmax1, true), moment(state2, absmax2, false)],
            expect,
          ),
      }
    },
  }
}

export const benches: readonly Bench[] = [
  bench('adamW float32', false, false),
  bench('adamW float32 with bfloat16 copies', false, true),
  bench('adamW8bit', true, false),
  bench('adamW8bit with bfloat16 copies', true, true),
]
