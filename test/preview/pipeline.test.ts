import { beforeAll, describe, expect, it } from 'vitest'
import { noGrad } from '../../lib/autograd/tape.ts'
import { createSampler } from '../../lib/diffusion/index.ts'
import { type ClipTokenizer, loadClipTokenizer } from '../../lib/models/clip/tokenizer.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { randomWeights, streamOf } from '../../lib/nn/init.ts'
import { add } from '../../lib/ops/add.ts'
import { scale } from '../../lib/ops/scale.ts'
import { encodePrompts } from '../../lib/preview/encodePrompts.ts'
import { type SampleOptions, samplePicture } from '../../lib/preview/pipeline.ts'
import type { PromptSpec } from '../../lib/preview/promptSpec.ts'
import { randomNormal, tensor } from '../../lib/tensor/create.ts'
import { scope } from '../../lib/tensor/scope.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { tinyConfigs } from '../support/tinyModels.ts'

const models = new StableDiffusion(tinyConfigs.tinySd2, () => randomWeights(3))
let tokenizer: ClipTokenizer
beforeAll(async () => {
  tokenizer = await loadClipTokenizer({ variant: 'sd2' })
})

const frog: PromptSpec = { prompt: 'a frog', negativePrompt: 'blurry', width: 72, height: 64, steps: 3, scale: 5 }

async function draw(prompt: Partial<PromptSpec>, options: Partial<SampleOptions> = {}): Promise<Uint8Array> {
  const { pixels, width, height } = await samplePicture(
    models,
    tokenizer,
    { ...frog, ...prompt },
    { seed: 7, ...options },
  )
  expect([width, height]).toEqual([72, 64])
  return pixels
}

describe('samplePicture', () => {
  it('is the sampler over the U-Net with guidance, then the VAE', async () => {
    const { unet, vae, config } = models
    const [negative, positive] = ['blurry', 'a frog'].map((text) => encodePrompts(models, tokenizer, [text]))
    const noise = randomNormal([1, 8, 9, 4], { seed: 11, stream: streamOf('preview') })
    const sampler = createSampler('heun', { steps: 3, predictionType: config.predictionType })
    const run = sampler.start(noise, { seed: 11 })
    while (!run.done) {
      noGrad(() =>
        scope(() => {
          const ask = (context: Tensor): Tensor => unet.forward(run.input(), tensor([run.time], [1]), context)
          run.proceed(add(scale(ask(negative!), { factor: -4 }), scale(ask(positive!), { factor: 5 })))
        }),
      )
    }
    const image = noGrad(() => scope(() => vae.decode(scale(run.latents, { factor: 1 / 0.18215 }))))
    const values = (await image.read()) as Float32Array
    const pixels = await draw({ seed: 11 }, { sampler: 'heun' })
    expect(new Set(pixels).size).toBeGreaterThan(10)
    pixels.forEach((byte, i) => {
      const exact = Math.min(255, Math.max(0, (values[i]! / 2 + 0.5) * 255))
      expect(Math.abs(byte - exact)).toBeLessThan(0.52)
    })
  })

  it('leaves the negative prompt out where the scale is 1', async () => {
    const unguided = await draw({ scale: 1 })
    expect(await draw({ scale: 1, negativePrompt: 'a pond' })).toEqual(unguided)
    expect(await draw({ scale: 5 })).not.toEqual(unguided)
  })

  it("draws with the prompt's sampler, else with that of the options, else with DDIM", async () => {
    const [ddim, euler] = [await draw({ sampler: 'ddim' }), await draw({ sampler: 'euler' })]
    expect(euler).not.toEqual(ddim)
    expect(await draw({})).toEqual(ddim)
    expect(await draw({}, { sampler: 'k_euler' })).toEqual(euler)
    expect(await draw({ sampler: 'ddim' }, { sampler: 'euler' })).toEqual(ddim)
  })

  it("draws the same from the same seed, the prompt's before that of the options, with added noise too", async () => {
    const first = await draw({ sampler: 'euler_a' })
    expect(await draw({ sampler: 'euler_a' }, { seed: 7 })).toEqual(first)
    expect(await draw({ sampler: 'euler_a', seed: 7 }, { seed: 8 })).toEqual(first)
    expect(await draw({ sampler: 'euler_a' }, { seed: 8 })).not.toEqual(first)
  })

  it('encodes what the prompt is expanded to, positive and negative', async () => {
    const expandPrompt = (text: string): string => text.replace('sks', 'frog').replace('bad', 'blurry')
    expect(await draw({ prompt: 'a sks', negativePrompt: 'bad' }, { expandPrompt })).toEqual(await draw({}))
  })

  it('refuses steps that the sampler does not take, and ends when aborted, without leaving a tensor', async () => {
    const baseline = await baselineBuffers()
    await expect(draw({ sampler: 'pndm' })).rejects.toThrow('steps must be a whole number from 4 to 999 for pndm')
    const aborted = AbortSignal.abort(new Error('enough'))
    await expect(draw({ sampler: 'pndm', steps: 4 }, { signal: aborted })).rejects.toThrow('enough')
    await draw({ sampler: 'pndm', steps: 4 })
    expect(await liveBuffers()).toBe(baseline)
  })
})
