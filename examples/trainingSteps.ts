/**
 * A training loop of one's own made of the trainer's parts: its step (noise, U-Net, loss, gradients), a method, an optimizer and a
 * schedule. The loss is a function of one's own. Teaches a LoRA two latents under two captions.
 */
import {
  AdamW,
  learningRateSchedule,
  loadClipTokenizer,
  mseLoss,
  noiseSchedule,
  randomNormal,
  randomWeights,
  StableDiffusion,
  tensor,
  tinySd1,
} from 'noisewright'
import { LoraMethod, type LossFunction, TrainingStep } from 'noisewright/train'

/** The squared error, later timesteps counting less. */
const loss: LossFunction = ({ prediction, target, timesteps, lossWeights }) => {
  const weights = timesteps.map((timestep, i) => lossWeights[i]! * (1 - timestep / 2000))
  return mseLoss(prediction, target, tensor(weights, [weights.length]))
}

export async function trainingSteps(steps: number): Promise<number[]> {
  const models = new StableDiffusion(tinySd1, () => randomWeights(1))
  const method = new LoraMethod(models, await loadClipTokenizer(), {
    rank: 4,
    seed: 2,
    trainUnet: true,
    trainTextEncoder: true,
    captions: { clipSkip: 1, sequenceLength: 77, dtype: 'float32' },
  })
  const learningRate = 1e-2
  const optimizer = new AdamW([{ params: method.network.parameters() }], { learningRate })
  const rate = learningRateSchedule({ schedule: 'cosine', warmupSteps: 1, totalSteps: steps })
  const step = new TrainingStep({
    unet: models.unet,
    method,
    optimizer,
    noise: {
      seed: 3n,
      schedule: noiseSchedule(),
      predictionType: 'epsilon',
      noiseOffset: 0.05,
      adaptiveNoiseScale: null,
    },
    loss,
    gradientAccumulationSteps: 2,
    maxGradNorm: 1,
  })
  const latents = [0, 1].map((stream) => randomNormal([1, 8, 8, 4], { seed: 4, stream }))
  const losses: number[] = []
  for (let done = 0; done < steps; done++) {
    // The key chooses noise and timesteps: here the same in every step, so that the loss falls.
    for (const [batch, caption] of ['a frog on a leaf', 'a frog in the rain'].entries())
      await step.accumulate({
        key: { epoch: 1, batch },
        latents: latents[batch]!,
        captions: [caption],
        lossWeights: [1],
      })
    const { loss, fault } = await step.update([rate(done, learningRate, 0)])
    if (fault !== null) throw new Error(`the loss is ${loss}; first seen in ${fault.place}`)
    losses.push(loss)
  }
  for (const part of [step, optimizer, method, models, ...latents]) part.dispose()
  return losses
}
