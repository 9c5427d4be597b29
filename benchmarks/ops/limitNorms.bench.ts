import { limitNorms } from '../../lib/ops/limitNorms.ts'
import type { Bench } from '../harness.ts'
import { randomNormal, tensor } from '../tensors.ts'

// As many modules as a LoRA of Stable Diffusion 1 with convolutions has, of rank 16 and width 640, all of them too large.
const modules = 350
const size = 16 * 640

export const benches: readonly Bench[] = [
  {
    name: `limitNorms float32 ${modules}x2x${size}`,
    bytes: 2 * 4 * modules * 2 * size,
    setup() {
      const products = Array.from({ length: modules }, (_, i) => {
        return {
          factors: [randomNormal([size], { seed: i }), randomNormal([size], { seed: -i })],
          square: tensor([4], [1]),
        }
      })
      const run = () => limitNorms(products, 1)
      const error = async (): Promise<number> => {
        const [scaled, mean, largest] = (await run().read()) as Float32Array
        return Math.max(Math.abs(scaled! / modules - 1), Math.abs(mean! - 1), Math.abs(largest! - 1))
      }
      return { run, error }
    },
  },
]
