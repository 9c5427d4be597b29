import { noGrad } from '../../lib/autograd/tape.ts'
import { sd1 } from '../../lib/models/stableDiffusion/config.ts'
import { Vae } from '../../lib/models/stableDiffusion/vae.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import { cast } from '../../lib/ops/cast.ts'
import { randomUniform, tensor } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

type ComputeType = 'float32' | 'bfloat16'

// One model for the native call and the composition it is compared with. The composition comes last: it leaves transformed weights behind.
const models = new Map<ComputeType, Vae>()
function model(dtype: ComputeType): Vae {
  const vae = models.get(dtype) ?? new Vae(sd1.vae, randomWeights(7), dtype)
  models.set(dtype, vae)
  return vae
}

/** Operations of the real encoder at 512 x 512; the two products of its attention grow with the square of the pixels, the rest with them. */
const attentionFlops = 4 * 4096 ** 2 * 512
const otherFlops = 1116.7e9 - attentionFlops

function benchesOf(size: number, dtype: ComputeType): readonly Bench[] {
  const area = (size / 512) ** 2
  const flops = otherFlops * area + attentionFlops * area ** 2
  const shape = [1, size, size, 3]
  return [
    {
      name: `vaeEncode ${dtype} ${size}x${size}`,
      flops,
      setup() {
        const vae = model(dtype)
        const bytes = Uint8Array.from({ length: size * size * 3 }, (_, i) => (i * 7919) & 255)
        const pixels = tensor(bytes, shape)
        return { run: () => vae.encodePictures(pixels) }
      },
    },
    {
      name: `vaeEncode composed ${dtype} ${size}x${size}`,
      flops,
      setup() {
        const vae = model(dtype)
        const pixels = cast(randomUniform(shape, { seed: 3, low: -1, high: 1 }), { dtype })
        return { run: () => noGrad(() => vae.encode(pixels)) }
      },
    },
  ]
}

export const benches: readonly Bench[] = (['float32', 'bfloat16'] as const).flatMap((dtype) =>
  [256, 512].flatMap((size) => benchesOf(size, dtype)),
)
