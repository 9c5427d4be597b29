import { join } from 'node:path'
import sharp from 'sharp'
import { beforeAll, describe, expect, it } from 'vitest'
import { noGrad } from '../../lib/autograd/tape.ts'
import { loadDiffusersFolder } from '../../lib/checkpoints/diffusersFolder.ts'
import { noiseSchedule } from '../../lib/diffusion/noiseSchedule.ts'
import { loadClipTokenizer } from '../../lib/models/clip/tokenizer.ts'
import type { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { readKohyaLora, writeKohyaLora } from '../../lib/networks/kohyaLora.ts'
import { attachLora } from '../../lib/networks/lora.ts'
import { AdamW } from '../../lib/optim/adamW.ts'
import { samplePicture } from '../../lib/preview/pipeline.ts'
import { readPromptFile } from '../../lib/preview/promptFile.ts'
import { randomNormal, tensor } from '../../lib/tensor/create.ts'
import { scope } from '../../lib/tensor/scope.ts'
import { LoraMethod } from '../../lib/train/methods/lora.ts'
import { TrainingStep } from '../../lib/train/step/trainingStep.ts'
import { trainNetwork } from '../../lib/train/trainings.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { makeFolder } from '../support/pictures.ts'
import { eventsOf, makeTinyData, only, saveTinyModel, tinyTraining } from '../support/tinyTraining.ts'

let model: string
beforeAll(async () => {
  model = await saveTinyModel()
})

const captions = { clipSkip: 1, sequenceLength: 77, dtype: 'float32' } as const

/** The U-Net's answer to fixed latents under a fixed caption, by the models as they are. */
async function predict(models: StableDiffusion, ids: Int32Array): Promise<Float32Array> {
  const prediction = noGrad(() =>
    scope(() => {
      const context = models.textEncoder.encode(tensor(ids, [1, 77]))
      return models.unet.forward(randomNormal([1, 8, 8, 4], { seed: 5 }), tensor([500], [1]), context)
    }),
  )
  const values = (await prediction.read()) as Float32Array
  prediction.dispose()
  return values
}

describe('a preview', () => {
  it.each([null, 0.3])('sees in the file exactly the network that was trained (dropout %s)', async (dropout) => {
    const baseline = await baselineBuffers()
    const models = await loadDiffusersFolder(model)
    const tokenizer = await loadClipTokenizer()
    const ids = tokenizer.tokenize('sks frog')
    const untrained = await predict(models, ids)
    const method = new LoraMethod(models, tokenizer, {
      rank: 4,
      alpha: 2,
      dropout,
      seed: 1,
      trainUnet: true,
      trainTextEncoder: true,
      captions,
    })
    const optimizer = new AdamW([{ params: method.network.parameters(), learningRate: 1e-2 }])
    const trainer = new TrainingStep({
      unet: models.unet,
      method,
      optimizer,
      noise: {
        seed: 1n,
        schedule: noiseSchedule(),
        predictionType: 'epsilon',
        noiseOffset: null,
        adaptiveNoiseScale: null,
      },
      loss: {},
      gradientAccumulationSteps: 1,
      maxGradNorm: 1,
    })
    for (let batch = 0; batch < 3; batch++) {
      const latents = randomNormal([1, 8, 8, 4], { seed: 6 })
      await trainer.accumulate({ key: { epoch: 1, batch }, latents, captions: ['sks frog'], lossWeights: [1] })
      latents.dispose()
      await trainer.update(1)
    }
    method.network.setTraining(false)
    const trained = await predict(models, ids)
    const path = join(await makeFolder(), 'frog.safetensors')
    await writeKohyaLora(path, await method.network.toKohya(), { metadata: {} })
    method.dispose()
    optimizer.dispose()
    expect(await predict(models, ids)).toEqual(untrained)

    const { modules } = await readKohyaLora(path)
    const detach = attachLora([...modules.values()], models)
    expect(await predict(models, ids)).toEqual(trained)
    expect(trained).not.toEqual(untrained)
    detach()
    expect(await predict(models, ids)).toEqual(untrained)
    models.dispose()
    expect(await liveBuffers()).toBe(baseline)
  })

  it('has the size of its prompt and is what the written file draws', async () => {
    const promptFile = join(
      await makeFolder({
        'prompts.txt': 'sks frog --n blurry --w 64 --h 96 --s 2 --l 4 --d 3\na pond --w 128 --h 64 --s 2 --l 1\n',
      }),
      'prompts.txt',
    )
    const config = await tinyTraining(model, await makeTinyData(), {
      optimizer: { learningRate: 0.05 },
      // Rounded in the file, so that a picture drawn by the network in memory would be another.
      output: { savePrecision: 'bf16' },
      preview: { promptFile, everyEpochs: 1 },
    })
    const events = await eventsOf(trainNetwork(config))
    const pictures = await Promise.all(
      only(events, 'preview').map(({ path }) => sharp(path).removeAlpha().raw().toBuffer({ resolveWithObject: true })),
    )
    expect(pictures.map(({ info: { width, height, channels } }) => [width, height, channels])).toEqual([
      [64, 96, 3],
      [128, 64, 3],
    ])

    const models = await loadDiffusersFolder(model)
    const tokenizer = await loadClipTokenizer()
    const prompts = await readPromptFile(promptFile)
    const draw = (index: number): ReturnType<typeof samplePicture> =>
      samplePicture(models, tokenizer, prompts[index]!, { seed: 7 + index })
    const without = await draw(0)
    const detach = attachLora([...(await readKohyaLora(only(events, 'save')[0]!.path)).modules.values()], models)
    for (const [index, { data }] of pictures.entries())
      expect(data.equals((await draw(index)).pixels), `prompt ${index}`).toBe(true)
    expect(pictures[0]!.data.equals(without.pixels)).toBe(false)
    detach()
    models.dispose()
  })
})
