import { backward } from '../../lib/autograd/backward.ts'
import { mseLoss } from '../../lib/ops/mseLoss.ts'
import { randomNormal } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

const shape = [4, 128, 128, 4]
const elements = 4 * 128 * 128 * 4

export const benches: readonly Bench[] = [
  {
    name: `mseLoss float32 ${shape.join('x')}`,
    bytes: 8 * elements,
    setup() {
      const prediction = randomNormal(shape, { seed: 1 })
      const target = randomNormal(shape, { seed: 2 })
      return { run: () => mseLoss(prediction, target, null) }
    },
  },
  {
    name: `mseLoss with gradient float32 ${shape.join('x')}`,
    bytes: 20 * elements,
    setup() {
      const prediction = randomNormal(shape, { seed: 1 })
      const target = randomNormal(shape, { seed: 2 })
      prediction.requiresGrad = true
      return {
        run() {
          const loss = mseLoss(prediction, target, null)
          backward(loss)
          prediction.grad?.dispose()
          prediction.grad = null
          return loss
        },
      }
    },
  },
]
