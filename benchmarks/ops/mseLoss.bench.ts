import { backward } from '../../lib/autograd/backward.ts'
import { mseLoss } from '../../lib/ops/mseLoss.ts'
import { sampledError, sumOf } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

const shape = [4, 128, 128, 4]
const elements = 4 * 128 * 128 * 4

const expect = (prediction: Float32Array, target: Float32Array) => (): number =>
  sumOf(elements, (i) => (prediction[i]! - target[i]!) ** 2) / elements

export const benches: readonly Bench[] = [
  {
    name: `mseLoss float32 ${shape.join('x')}`,
    bytes: 8 * elements,
    setup() {
      const prediction = randomNormal(shape, { seed: 1 })
      const target = randomNormal(shape, { seed: 2 })
      const run = () => mseLoss(prediction, target, null)
      return { run, error: () => sampledError(run, [prediction, target], expect) }
    },
  },
  {
    name: `mseLoss with gradient float32 ${shape.join('x')}`,
    bytes: 20 * elements,
    setup() {
      const prediction = randomNormal(shape, { seed: 1 })
      const target = randomNormal(shape, { seed: 2 })
      prediction.requiresGrad = true
      const run = () => {
        const loss = mseLoss(prediction, target, null)
        backward(loss)
        prediction.grad?.dispose()
        prediction.grad = null
        return loss
      }
      return { run, error: () => sampledError(run, [prediction, target], expect) }
    },
  },
]
