import { stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { loadLdmCheckpoint } from '../../lib/checkpoints/loadLdmCheckpoint.ts'
import { loadStableDiffusion } from '../../lib/checkpoints/loadStableDiffusion.ts'
import type { ModelOptions } from '../../lib/checkpoints/modelSource.ts'
import type { SafetensorsTensor } from '../../lib/io/safetensors.ts'
import { writeTorchFile } from '../../lib/io/torchFileWriter.ts'
import { CheckpointError, HubError } from '../../lib/util/errors.ts'
import {
  type Changes,
  changedCopy,
  saveTinyCheckpoint,
  sizesOf,
  small1,
  small2,
  zerosOf,
} from '../support/checkpoints.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { makeFolder } from '../support/pictures.ts'
import { saveTinyModel } from '../support/tinyTraining.ts'

let [one, two] = ['', '']
beforeAll(async () => {
  one = await saveTinyCheckpoint(small1)
  two = await saveTinyCheckpoint(small2)
})

/** Loads what must not load: the error names the file, and nothing may be left on the device. */
async function refusal(path: string, options: ModelOptions = {}): Promise<string> {
  const baseline = await baselineBuffers()
  const error = await loadStableDiffusion(path, options).then(
    () => new Error('it loaded'),
    (error: unknown) => error as Error,
  )
  expect(await liveBuffers()).toBe(baseline)
  expect(error).toBeInstanceOf(CheckpointError)
  expect(error.message.startsWith(`${(error as CheckpointError).path}: `)).toBe(true)
  expect((error as CheckpointError).path).toBe(path)
  return error.message
}

async function changed(path: string, changes: Changes): Promise<string> {
  return refusal(await changedCopy(path, changes))
}

const only =
  (key: string, edit: (tensor: SafetensorsTensor) => SafetensorsTensor | null): NonNullable<Changes['change']> =>
  (tensor) =>
    tensor.name === key ? edit(tensor) : tensor

const unetKey = 'model.diffusion_model.input_blocks.1.0.emb_layers.1.bias'

describe('a single-file checkpoint that lacks something', () => {
  it.each([
    ['the U-Net', unetKey, 'model.diffusion_model.input_blocks.3.0.emb_layers.1.bias'],
    [
      'the text encoder',
      'cond_stage_model.transformer.text_model.encoder.layers.1.mlp.fc2.bias',
      'cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc2.bias',
    ],
    ['the VAE', 'first_stage_model.decoder.mid.attn_1.q.bias', 'first_stage_model.decoder.mid.attn_1.k.bias'],
  ])('is refused with the key and the nearest one: %s', async (_name, key, near) => {
    const message = await changed(one, { change: only(key, () => null) })
    expect(message).toContain(
      `a tensor is not as Stable Diffusion 1.x has them: "${key}" is missing (the nearest there is "${near}")`,
    )
  })

  it('is refused with the fused key of 2.x, once for its three parameters', async () => {
    const key = 'cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight'
    const message = await changed(two, { change: only(key, () => null) })
    expect(message.split(`"${key}" is missing`)).toHaveLength(2)
  })

  it('names ten problems and counts the rest', async () => {
    const message = await changed(one, {
      change: (tensor) => (/output_blocks.*(norm|bias)/.test(tensor.name) ? null : tensor),
    })
    expect(message.split(' is missing')).toHaveLength(11)
    expect(message).toMatch(/\d+ tensors are not as .*; and \d+ more$/)
  })

  it.each([
    ['a text encoder', 'cond_stage_model.', 'it has a U-Net and no text encoder'],
    ['a VAE', 'first_stage_model.', 'it has no VAE (first_stage_model.*); give one with --vae'],
    ['a U-Net', 'model.diffusion_model.', 'found VAE in the names of single-file checkpoints'],
  ])('is refused without %s', async (_name, prefix, text) => {
    expect(await changed(one, { change: (tensor) => (tensor.name.startsWith(prefix) ? null : tensor) })).toContain(text)
  })
})

describe('a single-file checkpoint with something wrong', () => {
  it('is refused with the shape that was expected', async () => {
    const message = await changed(one, { change: only(unetKey, () => zerosOf(unetKey, [33])) })
    expect(message).toContain(`"${unetKey}" has shape [33], expected [32]`)
  })

  it('is refused with the type that was found', async () => {
    const message = await changed(one, { change: only(unetKey, () => zerosOf(unetKey, [32], 'I64')) })
    expect(message).toContain(`"${unetKey}" has type I64, expected F32, F16, BF16, F64 or F8_E4M3`)
  })

  it.each([
    ['the U-Net', 'model.diffusion_model.input_blocks.1.1.transformer_blocks.1.norm1.bias'],
    ['the VAE', 'first_stage_model.decoder.up.0.block.9.norm1.bias'],
  ])('is refused for a tensor that %s does not have', async (_name, key) => {
    expect(await changed(one, { more: [zerosOf(key, [32])] })).toContain(`"${key}" is a tensor that it does not have`)
  })

  it('is refused when sizes cannot be told, and loads when they are given', async () => {
    const path = await changedCopy(one, { metadata: {} })
    expect(await refusal(path)).toContain('channels 16, 32, which do not tell "vaeGroups"; give it in "sizes"')
    const { models } = await loadLdmCheckpoint(path, { sizes: sizesOf(small1) })
    expect(models.config).toEqual({ ...small1, name: path })
    models.dispose()
  })

  it.each(['{', '[]', '{"unetGroups": "8"}', '{"unetGroups": 0}', '3'])(
    'is refused with sizes %s in its metadata',
    async (text) => {
      const path = await changedCopy(one, { metadata: { 'noisewright.sizes': text } })
      expect(await refusal(path)).toContain('metadata "noisewright.sizes" must be JSON of positive numbers')
    },
  )

  it('is refused when groups do not divide its channels', async () => {
    const path = await changedCopy(one, {
      metadata: { 'noisewright.sizes': '{"unetGroups":7,"vaeGroups":8,"textHeads":4}' },
    })
    expect(await refusal(path)).toContain('"unetGroups" must divide the channels 32, 64 of the model, found 7, 7')
  })

  it.each([
    [5, 'depth-to-image'],
    [8, 'InstructPix2Pix'],
    [9, 'inpainting'],
  ])('is refused with %d input channels, and named', async (channels, name) => {
    const key = 'model.diffusion_model.input_blocks.0.0.weight'
    const message = await changed(one, { change: only(key, () => zerosOf(key, [32, channels, 3, 3])) })
    expect(message).toContain(name)
  })

  it.each([
    ['an HTML page', '<!DOCTYPE html><html><body>404: not found</body></html>', /found a web page/],
    ['nothing', '', /empty|0 bytes|at least/i],
    ['text', 'just some text that is no model at all', /not a safetensors file|expected a safetensors/],
  ])('is refused when it holds %s', async (_name, text, pattern) => {
    const path = join(await makeFolder(), 'model.safetensors')
    await writeFile(path, text)
    expect(await refusal(path)).toMatch(pattern)
  })

  it('is refused when it is cut short', async () => {
    const path = await changedCopy(one, {})
    await truncate(path, (await stat(path)).size - 100)
    expect(await refusal(path)).toMatch(/cut short|expected .* bytes/)
  })
})

describe('other files', () => {
  it.each([
    [
      'LoRA',
      [zerosOf('lora_unet_mid_block_attentions_0_proj_in.lora_down.weight', [4, 8])],
      'found LoRA; give the model that it was trained for',
    ],
    ['textual inversion', [zerosOf('emb_params', [2, 768])], 'found textual inversion; give the model'],
    ['SDXL', [zerosOf('conditioner.embedders.1.model.ln_final.bias', [8])], 'found SDXL base, which is not supported'],
    [
      'nothing known',
      [zerosOf('a.b', [1]), zerosOf('c.d', [1])],
      'found unknown tensors, which is not supported: its tensors are unknown: "a.b", "c.d"',
    ],
    ['no tensors', [], 'found a file without tensors'],
  ])('of %s are refused by name', async (_name, tensors, text) => {
    expect(await changed(one, { change: () => null, more: tensors })).toContain(text)
  })

  it('of PyTorch are refused by name as well', async () => {
    const path = join(await makeFolder(), 'model.ckpt')
    await writeTorchFile(path, [zerosOf('double_blocks.0.img_attn.norm.key_norm.scale', [8])])
    expect(await refusal(path)).toContain('found Flux, which is not supported')
  })

  it('that do not exist are refused with what was expected', async () => {
    const message = await refusal(join(await makeFolder(), 'nowhere', 'model'))
    expect(message).toContain('no such file or folder; expected a checkpoint file or a folder in the diffusers layout')
    const hub = { offline: true, cacheFolder: await makeFolder() }
    await expect(loadStableDiffusion('org/nothing', { hub })).rejects.toThrow(HubError)
  })
})

describe('options that contradict the file', () => {
  it('about the version are refused with what was found', async () => {
    expect(await refusal(one, { v2: true })).toContain(
      '--v2 was given (v2: true), but this is Stable Diffusion 1.x: its text encoder has "cond_stage_model.transformer." keys; leave --v2 out',
    )
    expect(await refusal(two, { v2: false })).toContain(
      'but this is Stable Diffusion 2.x: its text encoder has "cond_stage_model.model." keys',
    )
    const folder = await saveTinyModel(small1)
    expect(await refusal(folder, { v2: true })).toContain('--v2 was given, but this is Stable Diffusion 1.x')
  })

  it('about the prediction are refused with where the file states it', async () => {
    expect(await refusal(two, { vParameterization: true })).toContain(
      '--v_parameterization was given, but the model predicts epsilon: metadata "modelspec.prediction_type" = "epsilon" says so',
    )
    const folder = await saveTinyModel(small1)
    expect(await refusal(folder, { vParameterization: true })).toContain(
      'the model predicts epsilon: scheduler/scheduler_config.json says so',
    )
    const marked = await changedCopy(one, { more: [zerosOf('v_pred', [])] })
    expect(await refusal(marked, { vParameterization: false })).toContain(
      'the model predicts v_prediction: its tensor "v_pred" says so',
    )
  })
})

describe('what a model predicts', () => {
  const sizes = { 'noisewright.sizes': '{"unetGroups":8,"unetHeads":[4,4],"vaeGroups":8,"textHeads":4}' }
  const sizes2 = { 'noisewright.sizes': '{"unetGroups":8,"unetHeads":[2,4],"vaeGroups":8,"textHeads":6}' }

  async function prediction(path: string, options: ModelOptions = {}): Promise<readonly [string, number]> {
    const { models, report } = await loadLdmCheckpoint(path, options)
    models.dispose()
    expect(models.config.predictionType).toBe(report.predictionType)
    return [report.predictionType, report.notes.length]
  }

  it.each([
    [{ 'modelspec.prediction_type': 'v' }, 'v_prediction'],
    [{ 'modelspec.prediction_type': 'v_prediction' }, 'v_prediction'],
    [{ 'modelspec.prediction_type': 'epsilon' }, 'epsilon'],
    [{ 'modelspec.architecture': 'stable-diffusion-v2-768-v' }, 'v_prediction'],
    [{ 'modelspec.architecture': 'stable-diffusion-v2-512' }, 'epsilon'],
  ])('is read from metadata %o', async (metadata, expected) => {
    expect(await prediction(await changedCopy(two, { metadata: { ...sizes2, ...metadata } }))).toEqual([expected, 0])
  })

  it('is noise for 1.x, or with a note what the option says, or what a tensor marks', async () => {
    const path = await changedCopy(one, { metadata: sizes })
    expect(await prediction(path)).toEqual(['epsilon', 0])
    expect(await prediction(path, { vParameterization: true })).toEqual(['v_prediction', 1])
    expect(await prediction(await changedCopy(one, { more: [zerosOf('v_pred', [])] }))).toEqual(['v_prediction', 0])
  })

  it('is assumed for 2.x files that do not store it, with a note, unless the option says it', async () => {
    const path = await changedCopy(two, { metadata: sizes2 })
    const { models, report } = await loadLdmCheckpoint(path)
    models.dispose()
    expect(report.notes.join()).toContain('is not stored in the file; assumed noise (epsilon)')
    expect(report.prediction).toBeNull()
    expect(await prediction(path, { vParameterization: true })).toEqual(['v_prediction', 0])
  })

  it.each([
    ['parameterization: "v"', 'v_prediction'],
    ['parameterization: eps', 'epsilon'],
    ['target: ldm.models.diffusion.ddpm.LatentDiffusion', 'epsilon'],
  ])('is read from a configuration beside the file: %s', async (line, expected) => {
    const path = await changedCopy(two, { metadata: sizes2 })
    await writeFile(path.replace('.safetensors', '.yaml'), `model:\n  ${line}\n  params:\n    linear_start: 0.00085\n`)
    expect(await prediction(path)).toEqual([expected, 0])
  })
})
