import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { minSnrWeights } from '../../lib/diffusion/lossWeights.ts'
import { noiseSchedule } from '../../lib/diffusion/noiseSchedule.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { LoraNetwork } from '../../lib/networks/lora.ts'
import { copyInto } from '../../lib/ops/accumulate.ts'
import { addNoise, velocity } from '../../lib/ops/addNoise.ts'
import { mseLoss } from '../../lib/ops/mseLoss.ts'
import { scale } from '../../lib/ops/scale.ts'
import { AdamW } from '../../lib/optim/adamW.ts'
import { clipGradients } from '../../lib/optim/optimizer.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { scope } from '../../lib/tensor/scope.ts'
import { expectDigest } from '../support/digest.ts'
import { loadModelFixture, loraValues } from '../support/modelFixture.ts'
import { formulaInput, formulaWeights, tinyConfigs } from '../support/tinyModels.ts'

const prefixes = { unet: 'unet', textEncoder: 'text_encoder', vae: 'vae' } as const
const variants = (['tinySd1', 'tinySd2'] as const).flatMap((model) =>
  Object.keys(loadModelFixture(model).loraStep.variants).map((variant) => [model, variant] as const),
)

describe('one LoRA training step', () => {
  it.each(variants.flatMap(([model, variant]) => [[model, variant, false] as const, [model, variant, true] as const]))(
    'of %s (%s, gradient checkpointing %s) agrees with PyTorch: loss, gradients, weights after AdamW',
    async (name, variantName, checkpointing) => {
      const { loraStep: section } = loadModelFixture(name)
      const variant = section.variants[variantName]!
      const models = new StableDiffusion(tinyConfigs[name], (part) => formulaWeights(prefixes[part]))
      models.unet.gradientCheckpointing = checkpointing
      models.textEncoder.gradientCheckpointing = checkpointing
      const network = new LoraNetwork(models, { rank: section.rank, alpha: section.alpha, seed: 0 })
      const parameters = network.parameters()
      expect(parameters.map(({ name }) => name).toSorted()).toEqual(Object.keys(variant.gradients).toSorted())
      for (const { name, master } of parameters) {
        const initial = tensor(loraValues(name, master.shape), master.shape)
        copyInto(master, initial)
        initial.dispose()
      }
      const { learningRate, beta1, beta2, eps, weightDecay } = section.adamW
      const optimizer = new AdamW([{ params: parameters }], { learningRate, betas: [beta1, beta2], eps, weightDecay })
      const schedule = noiseSchedule()

      const losses: number[] = []
      for (let i = 0; i < variant.microBatchCount; i++) {
        const { ids, timesteps } = section.microBatches[i]!
        const loss = scope(() => {
          const latents = formulaInput(`${name}/loraStep/m${i}/latents`, section.latents)
          const noise = formulaInput(`${name}/loraStep/m${i}/noise`, section.latents)
          const indices = tensor(Int32Array.from(timesteps), [timesteps.length])
          const alphas = tensor(schedule.alphasCumprod, [1000])
          const noisy = addNoise(latents, noise, indices, alphas)
          const target = variant.prediction === 'epsilon' ? noise : velocity(latents, noise, indices, alphas)
          const context = models.textEncoder.encode(tensor(Int32Array.from(ids.flat()), [ids.length, 77]))
          const prediction = models.unet.forward(
            noisy,
            tensor(Float32Array.from(timesteps), [timesteps.length]),
            context,
          )
          const kind = variant.prediction === 'epsilon' ? 'epsilon' : 'v_prediction'
          const weights =
            variant.minSnrGamma === null
              ? null
              : tensor(minSnrWeights(schedule, timesteps, variant.minSnrGamma, kind), [timesteps.length])
          const loss = mseLoss(prediction, target, weights)
          backward(scale(loss, { factor: 1 / variant.microBatchCount }))
          return loss
        })
        losses.push(Number((await loss.read())[0]))
        loss.dispose()
      }
      losses.forEach((loss, i) => {
        expect(Math.abs(loss / variant.losses[i]! - 1)).toBeLessThan(1e-5)
      })
      const clip = clipGradients(optimizer)!
      expect(Math.abs(Number((await clip.read())[0]) / variant.gradientNorm - 1)).toBeLessThan(1e-5)
      for (const { name, master } of parameters)
        expectDigest((await master.grad!.read()) as Float32Array, variant.gradients[name]!, { rms: 1e-4, max: 1e-3 })
      if (variant.weights) {
        optimizer.step()
        for (const { name, master } of parameters)
          expectDigest((await master.read()) as Float32Array, variant.weights[name]!, { rms: 1e-4, max: 1e-3 })
      }
      clip.dispose()
      optimizer.dispose()
      network.dispose()
      models.dispose()
    },
  )
})
