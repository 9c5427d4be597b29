import { noGrad } from '../../lib/autograd/tape.ts'
import { sd1 } from '../../lib/models/stableDiffusion/config.ts'
import { Vae } from '../../lib/models/stableDiffusion/vae.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import { cast } from '../../lib/ops/cast.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { tensor } from '../tensors.ts'

type ComputeType = 'float32' | 'bfloat16'

const model = (dtype: ComputeType): Vae => new Vae(sd1.vae, randomWeights(7), dtype)

/** Against another way to the same moments, from the same weights in float32: layers composed of ops, or the native call. */
async function errorAgainst(other: (vae: Vae) => Tensor, run: () => Tensor): Promise<number> {
  const vae = model('float32')
  const moments = noGrad(() => other(vae))
  try {
    return await sampledError(run, [moments], (moments) => (i) => moments[i]!)
  } finally {
    moments.dispose()
    vae.dispose()
  }
}

/** Operations of the real encoder at 512 x 512; the two products of its attention grow with the square of the pixels, the rest with them. */
const attentionFlops = 4 * 4096 ** 2 * 512
const otherFlops = 1116.7e9 - attentionFlops

function benchesOf(size: number, dtype: ComputeType): readonly Bench[] {
  const area = (size / 512) ** 2
  const flops = otherFlops * area + attentionFlops * area ** 2
  const shape = [1, size, size, 3]
  // Bytes for the native call, the same picture as numbers for the layers.
  const picture = (): readonly [bytes: Tensor, pixels: Tensor] => {
    const bytes = Uint8Array.from({ length: size * size * 3 }, (_, i) => (i * 7919) & 255)
    const numbers = Float32Array.from(bytes, (byte) => byte / 127.5 - 1)
    return [tensor(bytes, shape), tensor(numbers, shape)]
  }
  return [
    {
      name: `vaeEncode ${dtype} ${size}x${size}`,
      flops,
      setup() {
        const vae = model(dtype)
        const [bytes, pixels] = picture()
        const run = () => vae.encodePictures(bytes)
        return { run, error: () => errorAgainst((exact) => exact.encode(pixels), run), release: () => vae.dispose() }
      },
    },
    {
      name: `vaeEncode composed ${dtype} ${size}x${size}`,
      flops,
      setup() {
        const vae = model(dtype)
        const [bytes, numbers] = picture()
        const pixels = cast(numbers, { dtype })
        const run = () => noGrad(() => vae.encode(pixels))
        return {
          run,
          error: () => errorAgainst((exact) => exact.encodePictures(bytes), run),
          release: () => vae.dispose(),
        }
      },
    },
  ]
}

export const benches: readonly Bench[] = (['float32', 'bfloat16'] as const).flatMap((dtype) =>
  [256, 512].flatMap((size) => benchesOf(size, dtype)),
)
