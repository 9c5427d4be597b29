import {
  type AdaptiveRule,
  type AdaptiveSettings,
  type AdaptiveSlot,
  adaptiveRuleStates,
  adaptiveScalars,
  adaptiveStep,
} from '../../lib/ops/adaptiveStep.ts'
import type { Bench } from '../harness.ts'
import { randomNormal, zeros } from '../tensors.ts'

// As many tensors as the U-Net of Stable Diffusion 1 has, at a fraction of their size.
const tensors = 686
const size = 40_000

const settings: AdaptiveSettings = {
  learningRate: 1,
  beta1: 0.9,
  beta2: 0.99,
  beta3: 0.98,
  growthRate: 1.0001,
  d0: 1e-6,
  dCoef: 1,
  momentum: 0,
  decouple: true,
  useBiasCorrection: false,
  safeguardWarmup: false,
  noProx: false,
  sliceP: 1,
}
const group = { factor: 1, weightDecay: 0, eps: 1e-8 }

function slot(rule: AdaptiveRule, index: number, sliceP: number): AdaptiveSlot {
  return {
    param: randomNormal([size], { seed: 1, stream: index }),
    gradient: randomNormal([size], { seed: 2, stream: index }),
    states: Array.from({ length: adaptiveRuleStates[rule] }, (_, k) =>
      zeros([sliceP > 1 && k >= 2 ? Math.ceil(size / sliceP) : size]),
    ),
    copy: null,
    row: 0,
    fresh: false,
  }
}

/** `bytes` for each parameter: what both passes read and write. */
function bench(name: string, rule: AdaptiveRule, bytes: number, sliceP = 1): Bench {
  const given = { ...settings, sliceP }
  return {
    name: `${name} ${tensors}x${size}`,
    bytes: tensors * size * bytes,
    setup() {
      const slots = Array.from({ length: tensors }, (_, i) => slot(rule, i, sliceP))
      const scalars = adaptiveScalars(settings.d0)
      const run = () => {
        adaptiveStep(rule, slots, [group], given, scalars)
        return []
      }
      return { run }
    },
  }
}

// First pass, second pass; gradient, parameter and states in turn.
export const benches: readonly Bench[] = [
  bench('dAdaptAdam', 'dAdaptAdam', 28 + 16),
  bench('dAdaptAdamPreprint', 'dAdaptAdamPreprint', 28 + 16),
  bench('dAdaptAdaGrad', 'dAdaptAdaGrad', 20 + 20),
  bench('dAdaptAdan', 'dAdaptAdan', 40 + 28),
  bench('dAdaptAdanIP', 'dAdaptAdanIP', 40 + 28),
  bench('dAdaptLion', 'dAdaptLion', 28),
  bench('dAdaptSGD', 'dAdaptSgd', 12 + 16),
  bench('prodigy', 'prodigy', 36 + 16),
  // Every cache line of the parameter holds an element of the slice, so all of it is read in the first pass too.
  bench('prodigy slice 11', 'prodigy', 20 + 4 + 12 / 11 + 16, 11),
]
