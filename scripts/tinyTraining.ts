/** One training of the tiny model, step by step: what the soak test and the benchmark of the event loop repeat. */
import { setTimeout } from 'node:timers/promises'
import { backward, backwardInTurns } from '../lib/autograd/backward.ts'
import { noGrad } from '../lib/autograd/tape.ts'
import { loadClipTokenizer } from '../lib/models/clip/tokenizer.ts'
import { tinySd1 } from '../lib/models/stableDiffusion/config.ts'
import { StableDiffusion } from '../lib/models/stableDiffusion/stableDiffusion.ts'
import { LoraNetwork } from '../lib/networks/lora.ts'
import { randomWeights } from '../lib/nn/init.ts'
import { addNoise } from '../lib/ops/addNoise.ts'
import { mseLoss } from '../lib/ops/mseLoss.ts'
import { AdamW, clipGradients, type Optimizer, type OptimizerParameter } from '../lib/optim/index.ts'
import { randomNormal, tensor } from '../lib/tensor/create.ts'
import { scope } from '../lib/tensor/scope.ts'

export interface TinyTraining {
  /** Trains one step and resolves with its loss, when all its work is done. */
  step(): Promise<number>
  /** Frees everything; resolves when the device has. */
  dispose(): Promise<void>
}

/** Stable Diffusion's noise schedule: the square roots of beta rise evenly from 0.00085 to 0.012. */
function alphasCumprod(): Float32Array {
  const [first, last] = [Math.sqrt(0.00085), Math.sqrt(0.012)]
  let product = 1
  return Float32Array.from({ length: 1000 }, (_, i) => {
    product *= 1 - (first + ((last - first) * i) / 999) ** 2
    return product
  })
}

export interface TinyTrainingOptions {
  /** Let others have a turn between parts of the forward and of the backward pass. Default: false. */
  readonly inTurns?: boolean
  /** Default: AdamW with a learning rate of 1e-3. */
  readonly makeOptimizer?: (params: readonly OptimizerParameter[]) => Optimizer
}

/** A LoRA on the tiny SD1 configuration with random weights, one latent of 16 x 16, AdamW. */
export async function startTinyTraining(options: TinyTrainingOptions = {}): Promise<TinyTraining> {
  const { inTurns = false, makeOptimizer = (params) => new AdamW([{ params }], { learningRate: 1e-3 }) } = options
  const models = new StableDiffusion(tinySd1, () => randomWeights(1))
  const lora = new LoraNetwork({ unet: models.unet }, { rank: 4, alpha: 4, seed: 2 })
  const optimizer = makeOptimizer(lora.parameters())
  const tokenizer = await loadClipTokenizer()
  const ids = tensor(tokenizer.tokenize('a 3d emoji of a frog'), [1, 77])
  const context = noGrad(() => models.textEncoder.encode(ids))
  const latents = randomNormal([1, 16, 16, 4], { seed: 3 })
  const alphas = tensor(alphasCumprod(), [1000])
  let count = 0
  return {
    async step() {
      const time = (count * 250) % 1000
      const turn = (): Promise<void> => setTimeout(0)
      const { noise, noisy, times } = scope(() => {
        const noise = randomNormal([1, 16, 16, 4], { seed: 4, stream: count })
        const noisy = addNoise(latents, noise, tensor(Int32Array.of(time), [1]), alphas)
        return { noise, noisy, times: tensor([time], [1]) }
      })
      const prediction = inTurns
        ? await models.unet.forwardInTurns(noisy, times, context, { turn })
        : models.unet.forward(noisy, times, context)
      const loss = mseLoss(prediction, noise, null)
      for (const used of [noise, noisy, times, prediction]) used.dispose()
      if (inTurns) {
        await turn()
        await backwardInTurns(loss, { turn })
        await turn()
      } else backward(loss)
      const clip = clipGradients(optimizer, 1)
      optimizer.step({ clip })
      optimizer.zeroGrad()
      clip?.dispose()
      count++
      const value = Number((await loss.read())[0])
      loss.dispose()
      return value
    },
    async dispose() {
      for (const part of [optimizer, lora, models, ids, context, latents, alphas]) part.dispose()
      const last = tensor([0], [1])
      await last.read()
      last.dispose()
    },
  }
}
