/** A training loop of one's own: the autoencoder of the miniature, which no trainer of the package trains. */
import { existsSync } from 'node:fs'
import {
  AdamW,
  add,
  backward,
  bytesOf,
  clipGradients,
  elementLoss,
  full,
  imageToTensor,
  mseLoss,
  openSafetensors,
  type ParameterRequest,
  PhiloxStream,
  randomNormal,
  randomWeights,
  reshape,
  scale,
  scope,
  sliceChannels,
  type Tensor,
  tensor,
  Vae,
  type VaeConfig,
  type WeightSource,
  writeSafetensors,
} from 'noisewright'

/** Pictures of one size, RGB, one behind the other. */
export interface Pictures {
  readonly size: number
  readonly count: number
  readonly pixels: Uint8Array
}

export interface AutoencoderOptions {
  readonly steps: number
  readonly seed: number
  /** Where the state is kept between runs: a run goes on from what stands there. */
  readonly stateFile: string
  readonly saveEvery: number
  onStep(step: number, loss: number): Promise<void> | void
}

/** Standard deviation of the posterior, the same for every latent, and the weight of the means' part of its divergence. */
const posterior = { deviation: 0.1, weight: 1e-3 } as const
const batchSize = 8
const peakRate = 2e-3
const warmUp = 100

/**
 * Trains an autoencoder: mean absolute and half the mean squared error of the pixels, and the divergence of a posterior whose variance
 * is fixed. The result of a run that was stopped and went on is the same, bit for bit.
 */
export async function trainAutoencoder(
  config: VaeConfig,
  pictures: Pictures,
  { steps, seed, stateFile, saveEvery, onStep }: AutoencoderOptions,
): Promise<Vae> {
  const state = existsSync(stateFile) ? await readState(stateFile) : null
  const vae = new Vae(config, state?.source ?? startWeights(seed, config.latentChannels))
  const params = Array.from(vae.registry.parameters.values(), ({ name, tensor: master, layout }) => {
    master.requiresGrad = true
    return { name, master, layout }
  })
  const optimizer = new AdamW([{ params }], { weightDecay: 0 })
  state?.restore(optimizer)
  try {
    await run()
  } catch (error) {
    vae.dispose()
    throw error
  } finally {
    optimizer.zeroGrad()
    optimizer.dispose()
    for (const { master } of params) master.requiresGrad = false
  }
  return vae

  async function run(): Promise<void> {
    const batchesPerEpoch = Math.floor(pictures.count / batchSize)
    for (let step = state?.step ?? 0; step < steps; step++) {
      const order = orderOf(pictures.count, { seed, epoch: Math.floor(step / batchesPerEpoch) })
      const first = (step % batchesPerEpoch) * batchSize
      const loss = scope(() => lossOf(vae, pixelsOf(pictures, order.slice(first, first + batchSize)), { seed, step }))
      backward(loss)
      const clip = clipGradients(optimizer, 1)
      const warm = Math.min(1, (step + 1) / warmUp)
      optimizer.step({ clip, learningRates: [peakRate * warm * (0.5 + 0.5 * Math.cos((Math.PI * step) / steps))] })
      optimizer.zeroGrad()
      clip?.dispose()
      const [value] = await loss.read()
      loss.dispose()
      await onStep(step + 1, Number(value))
      if ((step + 1) % saveEvery === 0 || step + 1 === steps) await writeState(stateFile, step + 1, vae, optimizer)
    }
  }
}

/** Random weights whose log variances are a constant from the start; nothing trains them away from it. */
function startWeights(seed: number, latentChannels: number): WeightSource {
  const random = randomWeights(seed)
  return (request) => {
    if (!request.name.startsWith('quant_conv.')) return random(request)
    const values = new Float32Array(request.shape.reduce((product, size) => product * size, 1))
    const rowSize = values.length / (2 * latentChannels)
    if (request.name.endsWith('bias')) values.fill(2 * Math.log(posterior.deviation), latentChannels)
    else for (let i = 0; i < latentChannels; i++) values[i * rowSize + i] = 1
    return tensor(values, request.shape)
  }
}

let lastOrder: { readonly key: string; readonly order: readonly number[] } | null = null

/** The order of an epoch is a function of seed and epoch. */
function orderOf(count: number, { seed, epoch }: { readonly seed: number; readonly epoch: number }): readonly number[] {
  const key = `${seed} ${epoch} ${count}`
  if (lastOrder?.key !== key) {
    const random = new PhiloxStream(BigInt(seed), `autoencoder ${epoch}`)
    lastOrder = { key, order: random.shuffle(Array.from({ length: count }, (_, i) => i)) }
  }
  return lastOrder.order
}

/** float32 [n, size, size, 3] in [-1, 1]. */
export function pixelsOf({ size, pixels }: Pictures, indices: readonly number[]): Tensor {
  const bytes = size * size * 3
  const chosen = new Uint8Array(indices.length * bytes)
  indices.forEach((index, i) => {
    chosen.set(pixels.subarray(index * bytes, (index + 1) * bytes), i * bytes)
  })
  const tall = imageToTensor(tensor(chosen, [indices.length * size, size, 3]), {})
  return reshape(tall, { shape: [indices.length, size, size, 3] })
}

function lossOf(vae: Vae, pixels: Tensor, { seed, step }: { readonly seed: number; readonly step: number }): Tensor {
  const means = sliceChannels(vae.encode(pixels), { start: 0, end: vae.config.latentChannels })
  const noise = randomNormal(means.shape, { seed, stream: step })
  const decoded = vae.decode(add(means, scale(noise, { factor: posterior.deviation })))
  const absolute = elementLoss(decoded, pixels, null, null, null, { type: 'l1' })
  const squared = scale(mseLoss(decoded, pixels, null, {}), { factor: 0.5 })
  const divergence = scale(mseLoss(means, full(means.shape, 0), null, {}), { factor: posterior.weight })
  return add(add(absolute, squared), divergence)
}

interface LoopState {
  readonly step: number
  readonly source: WeightSource
  restore(optimizer: AdamW): void
}

const [weightPrefix, momentPrefix] = ['weight/', 'moment/'] as const

async function writeState(path: string, step: number, vae: Vae, optimizer: AdamW): Promise<void> {
  const { steps, tensors } = optimizer.state()
  const named = [
    ...Array.from(vae.registry.parameters.values(), (record) => [weightPrefix + record.name, record.tensor] as const),
    ...Array.from(tensors, ([name, moment]) => [momentPrefix + name, moment] as const),
  ]
  const entries = named.map(([name, value]) => ({
    name,
    dtype: 'F32' as const,
    shape: value.shape,
    data: async () => bytesOf(await value.read()),
  }))
  await writeSafetensors(path, entries, { metadata: { step: String(step), steps: JSON.stringify(steps) } })
}

async function readState(path: string): Promise<LoopState> {
  const file = await openSafetensors(path)
  try {
    const tensors = new Map<string, Tensor>()
    for (const name of file.names)
      tensors.set(name, tensor(await file.read(name), file.info(name).shape, { dtype: 'float32' }))
    const take = (name: string): Tensor => tensors.get(name)!
    const steps = JSON.parse(file.metadata.get('steps')!) as Record<string, number>
    return {
      step: Number(file.metadata.get('step')),
      source: ({ name }: ParameterRequest) => take(weightPrefix + name),
      restore(optimizer) {
        const moments = [...tensors.keys()].filter((name) => name.startsWith(momentPrefix))
        const named = new Map(moments.map((name) => [name.slice(momentPrefix.length), take(name)]))
        optimizer.loadState({ optimizer: optimizer.name, steps, tensors: named })
        for (const moment of named.values()) moment.dispose()
      },
    }
  } finally {
    await file.close()
  }
}
