/** A training loop of one's own: the library's parts, no trainer. Teaches a LoRA one picture's latent under one caption. */
import {
  AdamW,
  addNoise,
  backward,
  clipGradients,
  LoraNetwork,
  loadClipTokenizer,
  mseLoss,
  noGrad,
  noiseSchedule,
  randomNormal,
  randomWeights,
  StableDiffusion,
  scope,
  tensor,
  tinySd1,
} from 'noisewright'

export async function customLoop(steps: number): Promise<number[]> {
  const models = new StableDiffusion(tinySd1, () => randomWeights(1))
  const lora = new LoraNetwork({ unet: models.unet }, { rank: 4, alpha: 4, seed: 2 })
  const optimizer = new AdamW([{ params: lora.parameters() }], { learningRate: 1e-2 })
  const tokenizer = await loadClipTokenizer()
  const ids = tensor(tokenizer.tokenize('a 3d emoji of a frog'), [1, 77])
  const context = noGrad(() => models.textEncoder.encode(ids))
  const latents = randomNormal([1, 16, 16, 4], { seed: 3 })
  const alphas = tensor(noiseSchedule().alphasCumprod, [1000])
  const losses: number[] = []
  for (let step = 0; step < steps; step++) {
    const loss = scope(() => {
      const noise = randomNormal([1, 16, 16, 4], { seed: 4, stream: step % 4 })
      const times = [(step * 250) % 1000]
      const noisy = addNoise(latents, noise, tensor(Int32Array.from(times), [1]), alphas)
      const loss = mseLoss(models.unet.forward(noisy, tensor(times, [1]), context), noise, null)
      backward(loss)
      return loss
    })
    const clip = clipGradients(optimizer, 1)
    optimizer.step({ clip })
    optimizer.zeroGrad()
    clip?.dispose()
    losses.push(Number((await loss.read())[0]))
    loss.dispose()
  }
  for (const part of [optimizer, lora, models, ids, context, latents, alphas]) part.dispose()
  return losses
}
