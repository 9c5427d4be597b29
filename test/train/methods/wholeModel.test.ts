import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { convertCheckpoint } from '../../../lib/checkpoints/convertCheckpoint.ts'
import { loadStableDiffusion } from '../../../lib/checkpoints/loadStableDiffusion.ts'
import { openSafetensors } from '../../../lib/io/safetensors.ts'
import type { ModelPart } from '../../../lib/models/stableDiffusion/stableDiffusion.ts'
import { fineTune, trainDreamBooth } from '../../../lib/train/trainings.ts'
import { ConfigError } from '../../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers } from '../../support/device.ts'
import { makeFolder } from '../../support/pictures.ts'
import { eventsOf, makeTinyData, only, saveTinyModel, type TinyOverrides } from '../../support/tinyTraining.ts'
import { makeTinyMetadata, tinyDreamBooth, tinyFineTune } from '../../support/tinyTrainings.ts'

let folderModel: string
let fileModel: string
let data: string
let metadata: string
let baseline: number
beforeAll(async () => {
  folderModel = await saveTinyModel()
  fileModel = join(await makeFolder(), 'tiny.safetensors')
  await convertCheckpoint(folderModel, fileModel, { to: 'safetensors' })
  data = await makeTinyData()
  metadata = await makeTinyMetadata()
})
beforeEach(async () => {
  baseline = await baselineBuffers()
})
afterEach(async () => {
  expect(await liveBuffers(), 'buffers left by the run').toBe(baseline)
})

/** Names of the parameters that differ between two models, by part. */
async function changed(
  before: string,
  after: string,
): Promise<Record<ModelPart, { different: number; total: number }>> {
  const { models: a } = await loadStableDiffusion(before)
  const {
    unet: { heads: unetHeads, groups: unetGroups },
    textEncoder: { heads: textHeads },
    vae,
  } = a.config
  const sizes = { unetHeads, unetGroups, textHeads, vaeGroups: vae.groups, scalingFactor: vae.scalingFactor }
  const { models: b } = await loadStableDiffusion(after, { sizes })
  const count = async (part: ModelPart) => {
    let different = 0
    const { parameters } = a[part].registry
    for (const [name, { tensor }] of parameters) {
      const other = await b[part].registry.parameters.get(name)!.tensor.read()
      if (!Buffer.from((await tensor.read()).buffer).equals(Buffer.from(other.buffer))) different++
    }
    return { different, total: parameters.size }
  }
  try {
    return { unet: await count('unet'), textEncoder: await count('textEncoder'), vae: await count('vae') }
  } finally {
    a.dispose()
    b.dispose()
  }
}

async function tune(overrides: Parameters<typeof tinyFineTune>[2] = {}, model = folderModel) {
  const config = await tinyFineTune(model, metadata, overrides)
  const events = await eventsOf(fineTune(config))
  return { events, path: only(events, 'end')[0]!.path!, folder: config.output.folder }
}

async function dreamBooth(overrides: Parameters<typeof tinyDreamBooth>[2] = {}) {
  const events = await eventsOf(trainDreamBooth(await tinyDreamBooth(fileModel, data, overrides)))
  return { events, path: only(events, 'end')[0]!.path! }
}

describe('fine-tuning', () => {
  it('changes the U-Net alone and writes the form that the model came in', async () => {
    const { path, events } = await tune()
    expect((await stat(path)).isDirectory()).toBe(true)
    expect(await readdir(join(path, 'unet'))).toContain('diffusion_pytorch_model.safetensors')
    const { unet, textEncoder, vae } = await changed(folderModel, path)
    expect(unet.different).toBe(unet.total)
    expect([textEncoder.different, vae.different]).toEqual([0, 0])
    expect(only(events, 'start')[0]!.moduleCount).toBe(unet.total)
    expect(Object.keys(only(events, 'step')[0]!.learningRates)).toEqual(['unet'])
  })

  it('changes the text encoder too where asked for, with a rate of its own', async () => {
    const { path, events } = await tune({ fineTune: { trainTextEncoder: true, textEncoderLearningRate: 1e-4 } })
    const { textEncoder, unet } = await changed(folderModel, path)
    expect(textEncoder.different).toBe(textEncoder.total)
    expect(unet.different).toBe(unet.total)
    expect(only(events, 'step')[0]!.learningRates).toEqual({ unet: 1e-3, textencoder: 1e-4 })
  })

  it.each<[string, TinyOverrides]>([
    ['with the same bits where activations are recomputed', { training: { gradientCheckpointing: true } }],
    ['near in bfloat16', { training: { mixedPrecision: 'bf16' } }],
  ])('computes %s', async (_what, overrides) => {
    const plain = only((await tune()).events, 'step').map(({ loss }) => loss)
    const other = only((await tune(overrides)).events, 'step').map(({ loss }) => loss)
    const digits = overrides.training?.gradientCheckpointing ? 12 : 1.5
    other.forEach((loss, step) => {
      expect(loss).toBeCloseTo(plain[step]!, digits)
    })
  })

  it('keeps the bits of what it does not train, though they were computed in bfloat16', async () => {
    const { path } = await tune({ training: { mixedPrecision: 'bf16' } }, fileModel)
    const { textEncoder, vae, unet } = await changed(fileModel, path)
    expect([textEncoder.different, vae.different]).toEqual([0, 0])
    expect(unet.different).toBe(unet.total)
  })

  it('writes every form that is asked for, with metadata for people', async () => {
    for (const [saveAs, name] of [
      ['ckpt', 'frog.ckpt'],
      ['safetensors', 'frog.safetensors'],
      ['diffusers', 'frog'],
      ['diffusers_safetensors', 'frog'],
    ] as const) {
      const output = { saveAs, savePrecision: 'fp16' as const, metadata: { author: 'me', triggerPhrase: 'sks frog' } }
      const { path } = await tune({ training: { maxSteps: 1 }, output }, fileModel)
      expect(path.endsWith(name)).toBe(true)
      expect((await changed(fileModel, path)).unet.different).toBeGreaterThan(0)
      if (saveAs !== 'safetensors') continue
      const file = await openSafetensors(path)
      expect(file.metadata.get('modelspec.author')).toBe('me')
      expect(file.metadata.get('modelspec.trigger_phrase')).toBe('sks frog')
      expect(file.metadata.has('modelspec.usage_hint')).toBe(false)
      expect(file.metadata.get('modelspec.architecture')).toBe('stable-diffusion-v1')
      expect(file.info('model.diffusion_model.out.2.weight').dtype).toBe('F16')
      await file.close()
    }
    await expect(tune({ output: { saveAs: 'pt' } })).rejects.toThrow(ConfigError)
  })

  it('takes metadata alone', async () => {
    await expect(eventsOf(fineTune(await tinyFineTune(folderModel, data)))).rejects.toThrow(
      'this training takes no DreamBooth data, only fine-tuning',
    )
  })

  it('draws previews from the written model, and from a passing file where none is due', async () => {
    const prompts = await makeFolder({ 'prompts.txt': 'sks frog --w 64 --h 64 --s 2 --d 1\n' })
    const preview = { promptFile: join(prompts, 'prompts.txt'), everySteps: 1, atFirst: true }
    const { events, folder } = await tune({ preview, output: { saveEverySteps: 2 } })
    expect(only(events, 'preview').map(({ step }) => step)).toEqual([0, 1, 2])
    expect((await readdir(folder)).sort()).toEqual(['frog', 'frog-step00000002', 'sample'])
  })
})

describe('DreamBooth', () => {
  it('changes U-Net and text encoder', async () => {
    const { path } = await dreamBooth()
    const { textEncoder, unet, vae } = await changed(fileModel, path)
    expect(textEncoder.different).toBe(textEncoder.total)
    expect([unet.different, vae.different]).toEqual([unet.total, 0])
  })

  it('leaves the text encoder out for a negative stop, and unchanged for a stop of 0', async () => {
    for (const stopTextEncoderTraining of [-1, 0]) {
      const { path, events } = await dreamBooth({ dreamBooth: { stopTextEncoderTraining } })
      const { textEncoder, unet } = await changed(fileModel, path)
      expect(textEncoder.different).toBe(0)
      const trained = stopTextEncoderTraining < 0 ? unet.total : unet.total + textEncoder.total
      expect(only(events, 'start')[0]!.moduleCount).toBe(trained)
    }
  })

  it('stops training the text encoder after so many steps, and says so', async () => {
    const stop = {
      dreamBooth: { stopTextEncoderTraining: 1 },
      training: { maxSteps: 3 },
      output: { saveEverySteps: 1 },
    }
    const { events } = await dreamBooth(stop)
    const [first, , third] = only(events, 'save').map(({ path }) => path)
    expect((await changed(first!, third!)).textEncoder.different).toBe(0)
    expect((await changed(first!, third!)).unet.different).toBeGreaterThan(0)
    expect(only(events, 'warning').map(({ message }) => message)).toContain(
      'step 1: the text encoder stays as it is from here on',
    )
  })

  it('trains on captions without padding', async () => {
    const padded = only((await dreamBooth()).events, 'step')[0]!.loss
    const { events } = await dreamBooth({ dreamBooth: { noTokenPadding: true } })
    expect(only(events, 'step')[0]!.loss).not.toBe(padded)
    expect(only(events, 'step').every(({ loss }) => Number.isFinite(loss))).toBe(true)
  })
})
