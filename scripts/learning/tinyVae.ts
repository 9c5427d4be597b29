/** A small autoencoder, trained here in minutes: what a tiny model draws can be looked at and compared with pictures. */
import { backward } from '../../lib/autograd/backward.ts'
import type { DecodedImage } from '../../lib/data/image.ts'
import type { VaeConfig } from '../../lib/models/stableDiffusion/config.ts'
import { Vae } from '../../lib/models/stableDiffusion/vae.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import type { WeightSource } from '../../lib/nn/weights.ts'
import { add } from '../../lib/ops/add.ts'
import { concatBatch } from '../../lib/ops/concatBatch.ts'
import { elementLoss } from '../../lib/ops/elementLoss.ts'
import { imageToTensor } from '../../lib/ops/imageToTensor.ts'
import { mseLoss } from '../../lib/ops/mseLoss.ts'
import { scale } from '../../lib/ops/scale.ts'
import { sliceChannels } from '../../lib/ops/sliceChannels.ts'
import { AdamW, clipGradients } from '../../lib/optim/index.ts'
import { full, randomNormal, tensor } from '../../lib/tensor/create.ts'
import { scope } from '../../lib/tensor/scope.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { PhiloxStream } from '../../lib/util/philox.ts'

/** Standard deviation of the posterior, the same for every latent, and the weight of the means' part of its divergence. */
const posterior = { deviation: 0.1, weight: 1e-3 } as const
const batchSize = 4
const peakRate = 4e-3

/** Random weights whose log variances are a constant from the start; nothing trains them away from it. */
function startWeights(seed: number, latentChannels: number): WeightSource {
  const random = randomWeights(seed)
  return (request) => {
    if (!request.name.startsWith('quant_conv.')) return random(request)
    const isBias = request.name.endsWith('bias')
    const values = new Float32Array(request.shape.reduce((product, size) => product * size, 1))
    const rowSize = values.length / (2 * latentChannels)
    if (isBias) values.fill(2 * Math.log(posterior.deviation), latentChannels)
    else for (let i = 0; i < latentChannels; i++) values[i * rowSize + i] = 1
    return tensor(values, request.shape)
  }
}

/**
 * Trains an autoencoder on pictures of one size: mean absolute and mean squared error of the pixels, and the divergence of a posterior
 * whose variance is fixed.
 * @param onStep told the loss
 */
export async function trainTinyVae(
  config: VaeConfig,
  pictures: readonly DecodedImage[],
  { steps, seed, onStep }: { readonly steps: number; readonly seed: number; onStep(step: number, loss: number): void },
): Promise<Vae> {
  const vae = new Vae(config, startWeights(seed, config.latentChannels))
  const params = Array.from(vae.registry.parameters.values(), ({ name, tensor: master, layout }) => {
    master.requiresGrad = true
    return { name, master, layout }
  })
  const optimizer = new AdamW([{ params }], { weightDecay: 0 })
  const random = new PhiloxStream(BigInt(seed), 'vae')
  let order: number[] = []
  for (let step = 0; step < steps; step++) {
    if (order.length < batchSize) order = random.shuffle(pictures.map((_, i) => i))
    const batch = order.splice(0, batchSize).map((i) => pictures[i]!)
    const loss = scope(() => lossOf(vae, pixelsOf(batch), { seed, step }))
    backward(loss)
    const clip = clipGradients(optimizer, 1)
    const warm = Math.min(1, (step + 1) / 20)
    optimizer.step({ clip, learningRates: [peakRate * warm * (0.5 + 0.5 * Math.cos((Math.PI * step) / steps))] })
    optimizer.zeroGrad()
    clip?.dispose()
    onStep(step + 1, Number((await loss.read())[0]))
    loss.dispose()
  }
  optimizer.dispose()
  for (const { master } of params) master.requiresGrad = false
  return vae
}

function pixelsOf(pictures: readonly DecodedImage[]): Tensor {
  return concatBatch(pictures.map(({ width, height, pixels }) => imageToTensor(tensor(pixels, [height, width, 3]), {})))
}

function lossOf(vae: Vae, pixels: Tensor, { seed, step }: { readonly seed: number; readonly step: number }): Tensor {
  const means = sliceChannels(vae.encode(pixels), { start: 0, end: vae.config.latentChannels })
  const noise = randomNormal(means.shape, { seed, stream: step })
  const decoded = vae.decode(add(means, scale(noise, { factor: posterior.deviation })))
  const absolute = elementLoss(decoded, pixels, null, null, null, { type: 'l1' })
  const divergence = scale(mseLoss(means, full(means.shape, 0), null, {}), { factor: posterior.weight })
  return add(add(absolute, mseLoss(decoded, pixels, null, {})), divergence)
}
