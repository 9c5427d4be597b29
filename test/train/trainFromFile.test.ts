import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { StableDiffusionConfig } from '../../lib/models/stableDiffusion/config.ts'
import { readKohyaLora } from '../../lib/networks/kohyaLora.ts'
import { trainNetwork } from '../../lib/train/trainings.ts'
import { saveTinyCheckpoint, small1, small2 } from '../support/checkpoints.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { makeFolder } from '../support/pictures.ts'
import {
  eventsOf,
  makeTinyData,
  only,
  saveTinyModel,
  type TinyOverrides,
  tensorBytes,
  tinyTraining,
} from '../support/tinyTraining.ts'

/** With the whole vocabulary, for real captions. */
const words = (config: StableDiffusionConfig): StableDiffusionConfig => ({
  ...config,
  textEncoder: { ...config.textEncoder, vocabSize: 49408 },
})

let data = ''
let [one, two] = ['', '']
beforeAll(async () => {
  data = await makeTinyData()
  one = await saveTinyCheckpoint(words(small1))
  two = await saveTinyCheckpoint(words(small2))
})

async function train(model: string, overrides: TinyOverrides = {}) {
  const events = await eventsOf(trainNetwork(await tinyTraining(model, data, overrides)))
  const path = only(events, 'end')[0]!.path!
  const { metadata } = await readKohyaLora(path)
  return { events, path, metadata, tensors: await tensorBytes(path) }
}

describe('a training from a checkpoint file', () => {
  it.each([
    ['1.x', () => one, 'False'],
    ['2.x', () => two, 'True'],
  ] as const)('of %s runs, draws previews, and records the file in the metadata', async (_name, path, v2) => {
    const baseline = await baselineBuffers()
    const prompts = await makeFolder({ 'prompts.txt': 'sks frog --w 64 --h 64 --s 2 --d 1\n' })
    const { events, metadata } = await train(path(), {
      preview: { promptFile: join(prompts, 'prompts.txt'), everyEpochs: 1, everySteps: null },
    })
    expect(only(events, 'step')).toHaveLength(2)
    expect(only(events, 'preview')).toHaveLength(1)
    expect(metadata.get('ss_v2')).toBe(v2)
    expect(metadata.get('ss_sd_model_name')).toBe('model.safetensors')
    expect(metadata.get('ss_new_sd_model_hash')).toBe(
      createHash('sha256')
        .update(await readFile(path()))
        .digest('hex'),
    )
    expect(metadata.get('ss_sd_model_hash')).toMatch(/^[0-9a-f]{8}$/)
    expect(metadata.has('ss_vae_name')).toBe(false)
    expect(await liveBuffers()).toBe(baseline)
  })

  it('learns otherwise through another VAE, which the metadata names, and the same through its own', async () => {
    const folder = await saveTinyModel(words(small1)) // of seed 1, the checkpoint of seed 5
    const whole = await train(one)
    const swapped = await train(one, { model: { vae: folder } })
    expect(swapped.tensors.equals(whole.tensors)).toBe(false)
    expect(swapped.metadata.get('ss_vae_name')).toBe('tiny-model')
    expect(swapped.metadata.has('ss_vae_hash')).toBe(false)
    const own = await train(one, { model: { vae: one } })
    expect(own.tensors.equals(whole.tensors)).toBe(true)
    expect(own.metadata.get('ss_new_vae_hash')).toBe(own.metadata.get('ss_new_sd_model_hash'))
  })

  it('of velocity differs from one of noise', async () => {
    const noise = await train(one)
    const velocity = await train(one, { model: { vParameterization: true } })
    expect(velocity.tensors.equals(noise.tensors)).toBe(false)
    const warnings = [noise, velocity].map(({ events }) => only(events, 'warning').map(({ message }) => message))
    expect(warnings).toEqual([[], [expect.stringContaining('taken to be velocity, as --v_parameterization says')]])
  })

  it('stops before the first step when an option contradicts the file', async () => {
    const baseline = await baselineBuffers()
    await expect(train(one, { model: { v2: true } })).rejects.toThrow(
      '--v2 was given (v2: true), but this is Stable Diffusion 1.x',
    )
    await expect(train(two, { model: { vParameterization: true } })).rejects.toThrow('but the model predicts epsilon')
    expect(await liveBuffers()).toBe(baseline)
  })
})
