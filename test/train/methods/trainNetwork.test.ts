import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openSafetensors } from '../../../lib/io/safetensors.ts'
import { openTorchFile } from '../../../lib/io/torchFile.ts'
import { tinySd1 } from '../../../lib/models/stableDiffusion/config.ts'
import { readKohyaLora, type SavePrecision } from '../../../lib/networks/kohyaLora.ts'
import { setThreadCount, threadCount } from '../../../lib/tensor/runtime.ts'
import { trainNetwork } from '../../../lib/train/trainings.ts'
import { baselineBuffers, liveBuffers } from '../../support/device.ts'
import { makeFolder } from '../../support/pictures.ts'
import {
  eventsOf,
  fourPictures,
  makeTinyData,
  only,
  saveTinyModel,
  type TinyOverrides,
  tensorBytes,
  tinyTraining,
} from '../../support/tinyTraining.ts'

let model: string
let data: string
/** Pictures of the resolution itself: without a cache nothing is resized. */
let squareData: string
let baseline: number
beforeAll(async () => {
  model = await saveTinyModel()
  data = await makeTinyData()
  const sizes = Object.keys(fourPictures).map((name) => [name, /txt$/.test(name) ? 'sks frog' : ([64, 64] as const)])
  squareData = await makeTinyData({ pictures: Object.fromEntries(sizes) })
})
beforeEach(async () => {
  baseline = await baselineBuffers()
})
afterEach(async () => {
  expect(await liveBuffers(), 'buffers left by the run').toBe(baseline)
})

/** 16 transformers of 12 projections; 6 projections in each layer of the text encoder. */
const unetModules = 192
const textModules = 6 * tinySd1.textEncoder.layers

/** Trains with parts of the configuration replaced. */
async function run(overrides: TinyOverrides = {}, dataFile = data) {
  const config = await tinyTraining(model, dataFile, overrides)
  return { config, events: await eventsOf(trainNetwork(config)) }
}

/** The same. @returns the bytes of the last file's tensors too */
async function train(overrides: TinyOverrides = {}, dataFile = data) {
  const { config, events } = await run(overrides, dataFile)
  const path = only(events, 'end')[0]!.path!
  return { config, events, path, tensors: await tensorBytes(path) }
}

describe('trainNetwork', () => {
  it('reports the course of a run in order and writes a file after every epoch and at the end', async () => {
    const prompts = await makeFolder({ 'prompts.txt': 'sks frog --w 64 --h 64 --s 2 --d 1\n' })
    const { config, events } = await train({
      training: { maxSteps: 0, maxEpochs: 2 },
      output: { saveEveryEpochs: 1 },
      preview: { promptFile: join(prompts, 'prompts.txt'), everyEpochs: 1 },
    })
    const epoch = ['epoch', 'step', 'step', 'epochEnd', 'save', 'preview']
    const cache = ['cache', 'cache', 'cache', 'cache']
    expect(events.map(({ type }) => type)).toEqual(['start', ...cache, ...epoch, ...epoch, 'end'])
    expect(events[0]).toMatchObject({
      seed: 7,
      totalSteps: 4,
      epochCount: 2,
      batchesPerEpoch: 2,
      trainImageCount: 4,
      regImageCount: 0,
      moduleCount: unetModules + textModules,
    })
    expect(only(events, 'cache').map(({ done, total }) => [done, total])).toEqual([1, 2, 3, 4].map((n) => [n, 4]))
    const steps = only(events, 'step')
    expect(steps.map(({ step, totalSteps, epoch }) => [step, totalSteps, epoch])).toEqual([
      [1, 4, 1],
      [2, 4, 1],
      [3, 4, 2],
      [4, 4, 2],
    ])
    for (const { loss, gradientNorm, learningRates, stepsPerSecond } of steps) {
      expect(Number.isFinite(loss) && loss > 0).toBe(true)
      expect(Number.isFinite(gradientNorm) && gradientNorm > 0).toBe(true)
      expect(learningRates).toEqual({ textencoder: 1e-3, unet: 1e-3 })
      expect(stepsPerSecond).toBeGreaterThan(0)
    }
    expect(steps[1]!.averageLoss).toBeCloseTo((steps[0]!.loss + steps[1]!.loss) / 2, 6)
    const { folder } = config.output
    const saves = only(events, 'save')
    expect(saves.map(({ path, step, epoch }) => [path, step, epoch])).toEqual([
      [join(folder, 'frog-000001.safetensors'), 2, 1],
      [join(folder, 'frog.safetensors'), 4, 2],
    ])
    for (const { path, bytes } of saves) expect((await readFile(path)).byteLength).toBe(bytes)
    expect(events.at(-1)).toEqual({ type: 'end', reason: 'finished', step: 4, path: saves[1]!.path })
    expect((await readdir(folder)).toSorted()).toEqual(['frog-000001.safetensors', 'frog.safetensors', 'sample'])
    const pictures = only(events, 'preview').map(({ path }) => path)
    expect((await readdir(join(folder, 'sample'))).map((name) => join(folder, 'sample', name)).toSorted()).toEqual(
      pictures.toSorted(),
    )
    expect(pictures[0]).toMatch(/sample\/frog_\d{14}_e000001_00_1\.png$/)
  })

  it('names files after the step, and after nothing when there is no name', async () => {
    const { config } = await train({ output: { saveEverySteps: 1, name: null } })
    expect((await readdir(config.output.folder)).toSorted()).toEqual([
      'at-step00000001.safetensors',
      'at-step00000002.safetensors',
      'last.safetensors',
    ])
  })

  it.each<[SavePrecision | null, number | null, string, string]>([
    [null, null, 'F32', 'I64'],
    [null, 4, 'F32', 'F32'],
    ['float', null, 'F32', 'F32'],
    ['fp16', 4, 'F16', 'F16'],
    ['bf16', 4, 'BF16', 'BF16'],
  ])('saves with precision %s and alpha %s as %s with alpha %s', async (savePrecision, alpha, weights, alphas) => {
    const { path } = await train({ training: { maxSteps: 1 }, network: { alpha }, output: { savePrecision } })
    const file = await openSafetensors(path)
    for (const name of file.names) expect(file.info(name).dtype, name).toBe(name.endsWith('.alpha') ? alphas : weights)
    await file.close()
    const { modules } = await readKohyaLora(path)
    expect(modules.size).toBe(unetModules + textModules)
    for (const { alpha: found } of modules.values()) expect(found).toBe(alpha ?? 1)
  })

  it('writes the same tensors in PyTorch’s container, and draws from it', async () => {
    const prompts = await makeFolder({ 'prompts.txt': 'sks frog --w 64 --h 64 --s 2 --d 1\n' })
    const steps = { training: { maxSteps: 1 }, network: { alpha: null } }
    const preview = { promptFile: join(prompts, 'prompts.txt'), everySteps: 1 }
    const { events } = await run({ ...steps, output: { saveAs: 'ckpt' }, preview })
    const path = only(events, 'end')[0]!.path!
    expect(path).toMatch(/frog\.ckpt$/)
    expect(only(events, 'preview')).toHaveLength(1)
    const file = await openTorchFile(path)
    const other = await openSafetensors((await train(steps)).path)
    expect(file.names.toSorted()).toEqual(other.names.toSorted())
    for (const name of file.names) {
      expect(file.info(name)).toMatchObject({ dtype: other.info(name).dtype, shape: other.info(name).shape })
      expect(Buffer.compare(await file.read(name), await other.read(name)), name).toBe(0)
    }
    await file.close()
    await other.close()
  })

  it("writes kohya's names, shapes and metadata", async () => {
    const { path, events } = await train({ network: { trainingComment: 'two steps' } })
    const { modules, metadata } = await readKohyaLora(path)
    const names = [...modules.keys()]
    expect(names.filter((name) => name.startsWith('lora_unet_'))).toHaveLength(unetModules)
    expect(names.filter((name) => name.startsWith('lora_te_text_model_encoder_layers_'))).toHaveLength(textModules)
    const shapes = (name: string) => {
      const { weights } = modules.get(name)!
      return [weights['lora_down.weight']!.shape, weights['lora_up.weight']!.shape]
    }
    expect(shapes('lora_unet_down_blocks_0_attentions_0_proj_in')).toEqual([
      [4, 32, 1, 1],
      [32, 4, 1, 1],
    ])
    expect(shapes('lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k')).toEqual([
      [4, 32],
      [64, 4],
    ])
    expect(shapes('lora_unet_up_blocks_3_attentions_2_transformer_blocks_0_ff_net_0_proj')).toEqual([
      [4, 32],
      [256, 4],
    ])
    const file = await openSafetensors(path)
    const parts = ['alpha', 'lora_down.weight', 'lora_up.weight']
    expect(file.names.toSorted()).toEqual(names.flatMap((name) => parts.map((part) => `${name}.${part}`)).toSorted())
    await file.close()
    for (const { weights } of modules.values())
      expect(weights['lora_up.weight']!.values.some((value) => value !== 0)).toBe(true)
    expect(Object.fromEntries(metadata)).toMatchObject({
      ss_output_name: 'frog',
      ss_network_module: 'networks.lora',
      ss_network_dim: '4',
      ss_network_alpha: '4.0',
      ss_num_train_images: '4',
      ss_num_reg_images: '0',
      ss_num_batches_per_epoch: '2',
      ss_num_epochs: '1',
      ss_max_train_steps: '2',
      ss_steps: '2',
      ss_epoch: '1',
      ss_seed: String(only(events, 'start')[0]!.seed),
      ss_cache_latents: 'True',
      ss_v2: 'False',
      ss_mixed_precision: 'no',
      ss_lr_scheduler: 'constant',
      ss_training_comment: 'two steps',
      ss_sd_model_name: 'tiny-model',
    })
    expect(metadata.get('sshs_model_hash')).toMatch(/^[0-9a-f]{64}$/)
    expect(metadata.get('sshs_legacy_hash')).toMatch(/^[0-9a-f]{8}$/)
    const datasets = JSON.parse(metadata.get('ss_datasets')!) as { num_train_images: number; resolution: number[] }[]
    expect(datasets).toHaveLength(1)
    expect(datasets[0]).toMatchObject({ num_train_images: 4, resolution: [64, 64] })
  })

  it('leaves out what describes the training when no metadata is wanted', async () => {
    const { path } = await train({ training: { maxSteps: 1 }, output: { noMetadata: true } })
    const { metadata } = await readKohyaLora(path)
    expect([...metadata.keys()].toSorted()).toEqual([
      'ss_network_alpha',
      'ss_network_dim',
      'ss_network_module',
      'sshs_legacy_hash',
      'sshs_model_hash',
    ])
  })
})

describe('the same seed', () => {
  const threads = threadCount()
  afterEach(() => setThreadCount(threads))

  it('gives the same bytes again, with 1 thread and with 2, and another seed gives others', async () => {
    const seeded = { network: { dropout: 0.2 }, training: { maxSteps: 3 } }
    setThreadCount(1)
    const { tensors: first } = await train(seeded)
    const { tensors: again } = await train(seeded)
    setThreadCount(2)
    const { tensors: two } = await train(seeded)
    expect(again.equals(first)).toBe(true)
    expect(two.equals(first)).toBe(true)
    const { tensors: other } = await train({ ...seeded, training: { ...seeded.training, seed: 8 } })
    expect(other.byteLength).toBe(first.byteLength)
    expect(other.equals(first)).toBe(false)
  })

  it('gives the same bytes with save files and previews in between', async () => {
    const prompts = await makeFolder({ 'prompts.txt': 'sks frog --w 64 --h 64 --s 1\n' })
    const seeded = { network: { dropout: 0.2 }, training: { maxSteps: 3 } }
    const { tensors: plain } = await train(seeded)
    const { tensors: drawn } = await train({
      ...seeded,
      preview: { promptFile: join(prompts, 'prompts.txt'), everySteps: 1 },
    })
    expect(drawn.equals(plain)).toBe(true)
  })

  it.each([true, false])(
    'gives the same bytes with gradient checkpointing, dropout masks included (text encoder learns: %s)',
    async (trainTextEncoder) => {
      const trained = (gradientCheckpointing: boolean) =>
        train({ network: { dropout: 0.2, trainTextEncoder }, training: { maxSteps: 2, gradientCheckpointing } })
      const { tensors: plain } = await trained(false)
      const { tensors: checkpointed, path } = await trained(true)
      expect(checkpointed.equals(plain)).toBe(true)
      // Nothing before it learns, where the text encoder does not: its input has no gradient.
      const first = (await readKohyaLora(path)).modules.get('lora_unet_down_blocks_0_attentions_0_proj_in')!
      expect(first.weights['lora_up.weight']!.values.some((each) => each !== 0)).toBe(true)
    },
  )
})

describe('a training', () => {
  let plain: Buffer
  beforeAll(async () => {
    plain = (await train()).tensors
  })

  it.each<[string, TinyOverrides, number, number]>([
    ['uncached latents', { data: { cacheLatents: false } }, unetModules, textModules],
    ['gradient accumulation', { training: { gradientAccumulationSteps: 2 } }, unetModules, textModules],
    ['min-SNR weighting', { loss: { minSnrGamma: 0.1 } }, unetModules, textModules],
    ['noise offset', { noise: { noiseOffset: 0.1, adaptiveNoiseScale: 0.01 } }, unetModules, textModules],
    ['bf16', { training: { mixedPrecision: 'bf16' } }, unetModules, textModules],
    [
      'bf16 and uncached latents',
      { training: { mixedPrecision: 'bf16' }, data: { cacheLatents: false } },
      unetModules,
      textModules,
    ],
    ['AdamW8bit', { optimizer: { type: 'AdamW8bit' }, network: { dim: 128 } }, unetModules, textModules],
    ['the text encoder only', { network: { trainUnet: false } }, 0, textModules],
    ['the U-Net only', { network: { trainTextEncoder: false } }, unetModules, 0],
    ['captions of 150 tokens', { model: { maxTokenLength: 150 } }, unetModules, textModules],
    ['clip skip', { model: { clipSkip: 2 } }, unetModules, textModules],
    ['dropout', { network: { dropout: 0.5 } }, unetModules, textModules],
    ['tight clipping', { optimizer: { maxGradNorm: 1e-3 } }, unetModules, textModules],
    ['a cosine schedule', { optimizer: { scheduler: 'cosine', warmupSteps: 1 } }, unetModules, textModules],
  ])('with %s learns, saves, and differs from one without', async (_name, overrides, unetCount, textCount) => {
    const { events, path, tensors } = await train(overrides, overrides.data?.cacheLatents === false ? squareData : data)
    const steps = only(events, 'step')
    expect(steps).toHaveLength(2)
    for (const { loss, gradientNorm } of steps) {
      expect(Number.isFinite(loss) && loss > 0).toBe(true)
      expect(Number.isFinite(gradientNorm)).toBe(true)
    }
    expect(only(events, 'warning')).toEqual([])
    const names = [...(await readKohyaLora(path)).modules.keys()]
    expect(names.filter((name) => name.startsWith('lora_unet_'))).toHaveLength(unetCount)
    expect(names.filter((name) => name.startsWith('lora_te_'))).toHaveLength(textCount)
    expect(tensors.equals(plain)).toBe(false)
  })

  it('takes mirrored pictures and regularization pictures', async () => {
    const reg = await makeFolder({ 'r.png': [64, 64], 's.png': [64, 64] })
    const flipped = await makeTinyData({
      subset: `flip_aug = true
  shuffle_caption = true
  keep_tokens = 1

  [[datasets.subsets]]
  image_dir = ${JSON.stringify(reg)}
  class_tokens = "frog"
  is_reg = true`,
    })
    const { events } = await train({ training: { maxSteps: 4 } }, flipped)
    expect(only(events, 'start')[0]).toMatchObject({ trainImageCount: 4, regImageCount: 2, batchesPerEpoch: 4 })
    expect(only(events, 'cache').at(-1)).toMatchObject({ done: 10, total: 10 })
    expect(only(events, 'step')).toHaveLength(4)
  })

  it('takes pictures of 104 pixels, which the U-Net cannot halve evenly', async () => {
    const odd = await makeTinyData({ pictures: { 'a.png': [104, 104], 'a.txt': 'x' }, resolution: 104 })
    const { events } = await train({ data: { cacheLatents: false }, training: { maxSteps: 1 } }, odd)
    expect(Number.isFinite(only(events, 'step')[0]!.loss)).toBe(true)
  })

  it('counts the last, shorter group of an epoch as a step of its own', async () => {
    const three = Object.entries(fourPictures).slice(0, 6)
    const trainDataDir = await makeFolder(Object.fromEntries(three.map(([name, file]) => [`1_x/${name}`, file])))
    const { events, path } = await train({
      data: { source: { trainDataDir }, fallbacks: { resolution: 64, caption_extension: '.txt' } },
      training: { maxSteps: 0, maxEpochs: 2, gradientAccumulationSteps: 2 },
    })
    expect((await readKohyaLora(path)).metadata.get('ss_total_batch_size')).toBe('2')
    expect(only(events, 'step').map(({ step, epoch }) => [step, epoch])).toEqual([
      [1, 1],
      [2, 1],
      [3, 2],
      [4, 2],
    ])
  })
})
