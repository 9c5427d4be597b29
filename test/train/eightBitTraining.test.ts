import { cp, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { saveDiffusersFolder } from '../../lib/checkpoints/diffusersFolder.ts'
import { type LoadStableDiffusionOptions, loadStableDiffusion } from '../../lib/checkpoints/loadStableDiffusion.ts'
import { openSafetensors, type SafetensorsTensor, writeSafetensors } from '../../lib/io/safetensors.ts'
import { bytesOf, float32ToBytes } from '../../lib/io/tensorBytes.ts'
import type { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { createNetwork } from '../../lib/networks/createNetwork.ts'
import { writeKohyaLora } from '../../lib/networks/kohyaLora.ts'
import { readLora } from '../../lib/networks/loraFile.ts'
import { mergeLora } from '../../lib/networks/mergeLora.ts'
import { narrowMatrices } from '../../lib/nn/eightBits.ts'
import { accumulate } from '../../lib/ops/accumulate.ts'
import { full } from '../../lib/tensor/create.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import { scope } from '../../lib/tensor/scope.ts'
import { fineTune, trainNetwork, trainTextualInversion } from '../../lib/train/trainings.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import {
  eventsOf,
  makeTinyData,
  only,
  saveTinyModel,
  type TinyOverrides,
  tensorBytes,
  tinyTraining,
} from '../support/tinyTraining.ts'
import { tinyFineTune, tinyInversion } from '../support/tinyTrainings.ts'

const eightBitParts = ['unet', 'textEncoder'] as const
const wide = { unet: 'bfloat16', vae: 'bfloat16' } as const

let [model, data] = ['', '']
beforeAll(async () => {
  model = await saveTinyModel()
  data = await makeTinyData()
})

/** Trains, and reads what was learned. */
async function learned(path: string, overrides: TinyOverrides): Promise<{ bytes: Buffer; losses: number[] }> {
  const config = await tinyTraining(path, data, overrides)
  const losses = only(await eventsOf(trainNetwork(config)), 'step').map(({ loss }) => loss)
  return { bytes: await tensorBytes(join(config.output.folder, 'frog.safetensors')), losses }
}

/** The model with its matrices rounded to 8 bits, as a folder of float32 files. */
async function roundedBefore(
  change: (models: StableDiffusion) => unknown = () => {},
  dtypes: LoadStableDiffusionOptions['dtypes'] = {},
): Promise<string> {
  const { models } = await loadStableDiffusion(model, { dtypes })
  try {
    await change(models)
    for (const part of eightBitParts) narrowMatrices(models[part])
    const folder = join(await mkdtemp(join(tmpdir(), 'noisewright-')), 'rounded')
    await saveDiffusersFolder(folder, models, { precision: 'float' })
    return folder
  } finally {
    models.dispose()
  }
}

describe('a network beside a model in 8 bits', () => {
  it.each(['bf16', 'fp16'] as const)(
    'learns what it learns beside one that was rounded before, in %s',
    async (type) => {
      const training = { mixedPrecision: type, gradientCheckpointing: type === 'fp16' }
      const expected = await learned(await roundedBefore(), { training })
      const found = await learned(model, { training: { ...training, eightBitParts } })
      expect(found.losses).toEqual(expected.losses)
      expect(found.bytes.equals(expected.bytes)).toBe(true)
      expect((await learned(model, { training })).bytes.equals(expected.bytes)).toBe(false)
    },
  )

  it('has base_weights in it, rounded once', async () => {
    const lora = join(await mkdtemp(join(tmpdir(), 'noisewright-')), 'base.safetensors')
    const { models } = await loadStableDiffusion(model)
    const network = createNetwork(models, { kind: 'lora', rank: 2, alpha: 2, seed: 3 })
    for (const { master } of network.parameters()) scope(() => accumulate(master, full(master.shape, 0.02)))
    await writeKohyaLora(lora, await network.toKohya(), { metadata: {} })
    network.dispose()
    models.dispose()
    const merged = await roundedBefore(async (wideModels) => {
      const file = await readLora(lora, wideModels.config)
      await mergeLora(wideModels, file)
      await file.close()
    }, wide)
    const expected = await learned(merged, { training: { mixedPrecision: 'bf16' } })
    const training = { mixedPrecision: 'bf16', eightBitParts } as const
    const found = await learned(model, { training, network: { baseWeights: [lora] } })
    expect(found.bytes.equals(expected.bytes)).toBe(true)
  })

  it('says so in its metadata', async () => {
    for (const parts of [eightBitParts, ['unet'] as const]) {
      const training = { mixedPrecision: 'bf16', eightBitParts: parts, maxSteps: 1 } as const
      const config = await tinyTraining(model, data, { training })
      await eventsOf(trainNetwork(config))
      const file = await openSafetensors(join(config.output.folder, 'frog.safetensors'))
      const both = parts.length === 2
      expect(file.metadata.get('ss_fp8_base')).toBe(both ? 'True' : 'False')
      expect(file.metadata.get('ss_fp8_base_unet')).toBe(both ? 'False' : 'True')
      await file.close()
    }
  })

  it('may be a word for textual inversion', async () => {
    const training = { mixedPrecision: 'bf16', eightBitParts } as const
    const buffers = await baselineBuffers()
    const events = await eventsOf(trainTextualInversion(await tinyInversion(model, data, { training })))
    expect(only(events, 'step').every(({ loss }) => Number.isFinite(loss))).toBe(true)
    expect(await liveBuffers()).toBe(buffers)
  })

  it('is refused where it is trained itself', async () => {
    const training = { mixedPrecision: 'bf16', eightBitParts } as const
    const run = eventsOf(fineTune(await tinyFineTune(model, data, { training })))
    await expect(run).rejects.toThrow('training.eightBitParts names unet, whose weights are trained')
  })
})

/** The model with the U-Net's matrices in 8 bits in its file, and more tensors beside them. */
async function storedInEightBits(more: readonly SafetensorsTensor[] = []): Promise<string> {
  const folder = join(await mkdtemp(join(tmpdir(), 'noisewright-')), 'stored')
  await cp(model, folder, { recursive: true })
  const path = join(folder, 'unet', 'diffusion_pytorch_model.safetensors')
  const file = await openSafetensors(path)
  const tensors = await Promise.all(
    file.names.map(async (name) => {
      const values = await file.readFloat32(name)
      const { shape } = file.info(name)
      const dtype = shape.length > 1 ? 'F8_E4M3' : 'F32'
      return { name, dtype, shape, data: async () => float32ToBytes(values, dtype) } as const
    }),
  )
  await file.close()
  await writeSafetensors(path, [...tensors, ...more])
  return folder
}

describe('a model loaded in 8 bits', () => {
  it('may have them in its file, and trains the same', async () => {
    const training = { mixedPrecision: 'bf16', eightBitParts: ['unet'] } as const
    const expected = await learned(model, { training })
    const stored = await storedInEightBits()
    expect((await learned(stored, { training })).bytes.equals(expected.bytes)).toBe(true)
    // Expanded once and for all, it has the same numbers.
    const expanded = await learned(stored, { training: { mixedPrecision: 'bf16' } })
    expect(expanded.bytes.equals(expected.bytes)).toBe(true)
  })
  it('is refused where its file scales them', async () => {
    const name = 'conv_in.scale_weight'
    const scale = { name, dtype: 'F32', shape: [1], data: async () => bytesOf(Float32Array.of(2)) } as const
    const run = loadStableDiffusion(await storedInEightBits([scale]))
    await expect(run).rejects.toThrow('"conv_in.weight" has a scale of its own, which is not supported')
  })
  it('takes a byte for each number of a matrix', async () => {
    const bytesOf = async (eightBits: boolean): Promise<number> => {
      const before = memory().liveBytes
      const parts = eightBits ? eightBitParts : []
      const { models } = await loadStableDiffusion(model, { dtypes: wide, eightBits: parts })
      const bytes = memory().liveBytes - before
      models.dispose()
      await liveBuffers()
      return bytes
    }
    const { models } = await loadStableDiffusion(model)
    const numbers = (part: 'unet' | 'textEncoder'): number =>
      [...models[part].registry.linears.values(), ...models[part].registry.convs.values()].reduce(
        (sum, { weight }) => sum + weight.size,
        0,
      )
    const saved = numbers('unet') * (2 - 1) + numbers('textEncoder') * (4 - 1)
    models.dispose()
    await liveBuffers()
    const difference = (await bytesOf(false)) - (await bytesOf(true))
    // Memory is given out in blocks of 64 bytes and more.
    expect(Math.abs(difference - saved) / saved).toBeLessThan(0.05)
  })
})
