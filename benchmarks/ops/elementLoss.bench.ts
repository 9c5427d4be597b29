import { backward } from '../../lib/autograd/backward.ts'
import { type ElementLossType, elementLoss } from '../../lib/ops/elementLoss.ts'
import { sampledError, sumOf } from '../error.ts'
import type { Bench } from '../harness.ts'
import { full, randomNormal, randomUniform } from '../tensors.ts'

const shape = [4, 128, 128, 4]
const elements = 4 * 128 * 128 * 4
const threshold = 0.1

const loss: Readonly<Record<ElementLossType, (d: number) => number>> = {
  l2: (d) => d * d,
  l1: Math.abs,
  huber: (d) => 2 * threshold * (Math.sqrt(d * d + threshold ** 2) - threshold),
  smooth_l1: (d) => 2 * (Math.sqrt(d * d + threshold ** 2) - threshold),
}

/** Forward and backward, with a mask. */
function bench(type: ElementLossType): Bench {
  return {
    name: `elementLoss ${type} with mask and gradient float32 ${shape.join('x')}`,
    bytes: 22 * elements,
    setup() {
      const prediction = randomNormal(shape, { seed: 1 })
      const target = randomNormal(shape, { seed: 2 })
      const mask = randomUniform(shape.slice(0, -1), { seed: 3 })
      const thresholds = type === 'huber' || type === 'smooth_l1' ? full([4], threshold) : null
      prediction.requiresGrad = true
      const run = () => {
        const result = elementLoss(prediction, target, null, thresholds, mask, { type })
        backward(result)
        prediction.grad?.dispose()
        prediction.grad = null
        return result
      }
      const expected = (prediction: Float32Array, target: Float32Array, mask: Float32Array) => (): number =>
        sumOf(elements, (i) => mask[Math.floor(i / 4)]! * loss[type](prediction[i]! - target[i]!)) / elements
      return { run, error: () => sampledError(run, [prediction, target, mask], expected) }
    },
  }
}

export const benches: readonly Bench[] = [bench('l2'), bench('huber')]
