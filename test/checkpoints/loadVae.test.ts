import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { loadStableDiffusion } from '../../lib/checkpoints/loadStableDiffusion.ts'
import { loadVae } from '../../lib/checkpoints/loadVae.ts'
import { writeTorchFile } from '../../lib/io/torchFileWriter.ts'
import { Vae } from '../../lib/models/stableDiffusion/vae.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import { CheckpointError, IoError } from '../../lib/util/errors.ts'
import {
  changedCopy,
  readTensors,
  saveTinyCheckpoint,
  sizesOf,
  small1,
  small2,
  valuesOf,
  zerosOf,
} from '../support/checkpoints.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { makeFolder } from '../support/pictures.ts'
import { saveTinyModel } from '../support/tinyTraining.ts'

const prefix = 'first_stage_model.'
const weights = 'diffusion_pytorch_model.safetensors'
const sizes = sizesOf(small1)
let checkpoint = ''
/** Of seed 1, unlike the checkpoint's. */
let folder = ''
beforeAll(async () => {
  checkpoint = await saveTinyCheckpoint(small1)
  folder = await saveTinyModel(small1)
})

async function expectVae(vae: Vae, seed: number): Promise<void> {
  const expected = new Vae(small1.vae, randomWeights(seed))
  expect(vae.config).toEqual(small1.vae)
  expect(await valuesOf(vae.registry)).toEqual(await valuesOf(expected.registry))
  expected.dispose()
}

const isVae = (name: string): boolean => name.startsWith(prefix)

describe('loadVae', () => {
  it('takes the VAE out of a whole checkpoint', async () => {
    const vae = await loadVae(checkpoint)
    await expectVae(vae, 5)
    vae.dispose()
  })

  it.each([
    ['with', prefix],
    ['without', ''],
  ])('reads a file %s the prefix of whole checkpoints, and ignores what its training left', async (_name, start) => {
    const path = await changedCopy(checkpoint, {
      change: (tensor) => (isVae(tensor.name) ? { ...tensor, name: tensor.name.replace(prefix, start) } : null),
      more: ['loss.logvar', 'model_ema.decay'].map((name) => zerosOf(start + name, [1])),
    })
    const vae = await loadVae(path)
    await expectVae(vae, 5)
    vae.dispose()
  })

  it('reads PyTorch files, whose tensors may lie under "state_dict"', async () => {
    const { tensors } = await readTensors(checkpoint)
    const bare = [...tensors.values()]
      .filter(({ name }) => isVae(name))
      .map((tensor) => ({ ...tensor, name: tensor.name.replace(prefix, '') }))
    for (const options of [{}, { under: 'state_dict' }]) {
      const path = join(await makeFolder(), 'vae.pt')
      await writeTorchFile(path, bare, options)
      const vae = await loadVae(path, { sizes })
      await expectVae(vae, 5)
      vae.dispose()
    }
  })

  it.each([
    ['the folder of a model', () => folder],
    ['the folder of the VAE', () => join(folder, 'vae')],
    ['the file in it', () => join(folder, 'vae', weights)],
  ])('reads the diffusers layout: %s', async (_name, path) => {
    const vae = await loadVae(path())
    await expectVae(vae, 1)
    vae.dispose()
  })

  it('reads a .bin file in the names of older diffusers libraries', async () => {
    const { tensors } = await readTensors(join(folder, 'vae', weights))
    const older = [...tensors.values()].map((tensor) => ({
      ...tensor,
      name: tensor.name
        .replace('.to_q.', '.query.')
        .replace('.to_k.', '.key.')
        .replace('.to_v.', '.value.')
        .replace('.to_out.0.', '.proj_attn.'),
    }))
    const path = join(await makeFolder(), 'diffusion_pytorch_model.bin')
    await writeTorchFile(path, older)
    const vae = await loadVae(dirname(path), { sizes })
    await expectVae(vae, 1)
    vae.dispose()
  })

  it('takes groups and scaling from the configuration beside the weights', async () => {
    const place = await makeFolder()
    await changedCopy(join(folder, 'vae', weights), { path: join(place, weights) })
    await writeFile(join(place, 'config.json'), '{"norm_num_groups": 4, "scaling_factor": 0.5}')
    const vae = await loadVae(place, { dtype: 'bfloat16' })
    expect(vae.config).toMatchObject({ groups: 4, scalingFactor: 0.5 })
    expect(vae.registry.dtype).toBe('bfloat16')
    vae.dispose()
    await writeFile(join(place, 'config.json'), '{')
    await expect(loadVae(place)).rejects.toThrow('expected a JSON object')
  })

  it('refuses what is no VAE, what lacks tensors, and what has too many', async () => {
    const baseline = await baselineBuffers()
    const key = 'encoder.mid.block_1.norm1.bias'
    const lacking = await changedCopy(checkpoint, {
      change: (tensor) => (tensor.name === prefix + key ? null : tensor),
    })
    await expect(loadVae(lacking)).rejects.toThrow(`a tensor is not as the VAE has them: "${prefix}${key}" is missing`)
    const extra = await changedCopy(checkpoint, { more: [zerosOf(`${prefix}encoder.mid.block_3.norm1.bias`, [32])] })
    await expect(loadVae(extra)).rejects.toThrow('is a tensor that it does not have')
    const none = await changedCopy(checkpoint, { change: (tensor) => (isVae(tensor.name) ? null : tensor) })
    await expect(loadVae(none)).rejects.toThrow('expected a VAE, found Stable Diffusion 1.x without one')
    await expect(loadVae(join(folder, 'unet', weights))).rejects.toThrow(
      'expected a VAE, found U-Net in the names of diffusers',
    )
    await expect(loadVae(await makeFolder())).rejects.toThrow(CheckpointError)
    await expect(loadVae(join(folder, 'nothing'))).rejects.toThrow(IoError)
    expect(await liveBuffers()).toBe(baseline)
  })
})

describe('another VAE in place of the own one', () => {
  it.each([
    ['a checkpoint file', () => checkpoint],
    ['a folder', () => folder],
  ])('enters the model of %s', async (_name, path) => {
    const baseline = await baselineBuffers()
    const other = path() === folder ? checkpoint : folder
    const { models } = await loadStableDiffusion(path(), { vae: other })
    await expectVae(models.vae, other === folder ? 1 : 5)
    expect(models.config.vae).toEqual(small1.vae)
    models.dispose()
    expect(await liveBuffers()).toBe(baseline)
  })

  it('completes a checkpoint without one', async () => {
    const path = await changedCopy(checkpoint, { change: (tensor) => (isVae(tensor.name) ? null : tensor) })
    const { models, report } = await loadStableDiffusion(path, { vae: folder })
    expect(report?.parts.vae).toBeNull()
    await expectVae(models.vae, 1)
    models.dispose()
  })

  it('that cannot be loaded leaves nothing of the model behind', async () => {
    const baseline = await baselineBuffers()
    const broken = await changedCopy(join(folder, 'vae', weights), {
      change: (tensor) => (tensor.name.startsWith('quant') ? null : tensor),
    })
    for (const path of [checkpoint, folder])
      await expect(loadStableDiffusion(path, { vae: broken, sizes })).rejects.toThrow('"quant_conv.weight" is missing')
    expect(await liveBuffers()).toBe(baseline)
  })

  it('may come from a 2.x model: the VAEs are of one kind', async () => {
    const vae = await loadVae(await saveTinyCheckpoint(small2))
    await expectVae(vae, 5)
    vae.dispose()
  })
})
