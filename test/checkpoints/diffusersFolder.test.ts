import { cp, readFile, rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { readDiffusersConfig } from '../../lib/checkpoints/diffusersConfig.ts'
import { loadDiffusersFolder, saveDiffusersFolder } from '../../lib/checkpoints/diffusersFolder.ts'
import { openSafetensors, type SafetensorsTensor, writeSafetensors } from '../../lib/io/safetensors.ts'
import { tinySd1, tinySd2 } from '../../lib/models/stableDiffusion/config.ts'
import { type ModelPart, StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import type { Registry } from '../../lib/nn/weights.ts'
import { CheckpointError, IoError } from '../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { addFiles, makeFolder } from '../support/pictures.ts'
import { saveTinyModel } from '../support/tinyTraining.ts'

const parts = ['unet', 'textEncoder', 'vae'] as const satisfies readonly ModelPart[]
const unetFile = 'unet/diffusion_pytorch_model.safetensors'
const vaeFile = 'vae/diffusion_pytorch_model.safetensors'

let saved: string
beforeAll(async () => {
  saved = await saveTinyModel()
})

async function valuesOf(registry: Registry): Promise<Map<string, Buffer>> {
  const values = new Map<string, Buffer>()
  for (const { name, tensor } of registry.parameters.values()) {
    const { buffer, byteOffset, byteLength } = (await tensor.read()) as Float32Array
    values.set(name, Buffer.from(buffer, byteOffset, byteLength))
  }
  return values
}

async function expectSameParameters(actual: StableDiffusion, expected: StableDiffusion): Promise<void> {
  for (const part of parts) {
    const [found, wanted] = [await valuesOf(actual[part].registry), await valuesOf(expected[part].registry)]
    expect([...found.keys()]).toEqual([...wanted.keys()])
    for (const [name, bytes] of found) expect(bytes.equals(wanted.get(name)!), `${part} ${name}`).toBe(true)
  }
}

/** A copy of the saved folder with the tensors of one file changed. */
async function withTensors(
  name: string,
  change: (tensor: SafetensorsTensor) => SafetensorsTensor | null,
): Promise<{ readonly folder: string; readonly path: string }> {
  const folder = join(await makeFolder(), 'model')
  await cp(saved, folder, { recursive: true })
  const path = join(folder, name)
  const file = await openSafetensors(path)
  const tensors: SafetensorsTensor[] = []
  for (const tensorName of file.names) {
    const { dtype, shape } = file.info(tensorName)
    const changed = change({ name: tensorName, dtype, shape, data: await file.read(tensorName) })
    if (changed !== null) tensors.push(changed)
  }
  await file.close()
  await writeSafetensors(path, tensors)
  return { folder, path }
}

/** Loads what must not load. @returns the error; nothing may be left on the device */
async function refusal(folder: string): Promise<Error> {
  const baseline = await baselineBuffers()
  const error = await loadDiffusersFolder(folder).then(
    () => new Error('it loaded'),
    (error: unknown) => error as Error,
  )
  expect(await liveBuffers()).toBe(baseline)
  return error
}

describe('a diffusers folder', () => {
  it.each([
    ['tiny SD 1', tinySd1],
    ['tiny SD 2', tinySd2],
  ])('gives back %s bit for bit, with its configuration', async (_name, config) => {
    const baseline = await baselineBuffers()
    const models = new StableDiffusion(config, () => randomWeights(3))
    const folder = await makeFolder()
    await saveDiffusersFolder(folder, models)
    expect({ ...(await readDiffusersConfig(folder)), name: config.name, origin: undefined }).toEqual(config)
    const loaded = await loadDiffusersFolder(folder)
    expect({ ...loaded.config, name: config.name, origin: undefined }).toEqual(config)
    await expectSameParameters(loaded, models)
    loaded.dispose()
    models.dispose()
    expect(await liveBuffers()).toBe(baseline)
  })

  it('stores convolutions and projections in the shapes of other tools', async () => {
    const file = await openSafetensors(join(saved, unetFile))
    expect(file.info('conv_in.weight').shape).toEqual([32, 4, 3, 3])
    expect(file.info('down_blocks.0.attentions.0.proj_in.weight').shape).toEqual([32, 32, 1, 1])
    expect(file.info('down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight').shape).toEqual([32, 32])
    await file.close()
  })

  it('loads parts in bfloat16 when asked', async () => {
    const models = await loadDiffusersFolder(saved, { dtypes: { unet: 'bfloat16' } })
    expect(models.unet.registry.parameters.get('conv_in.weight')!.tensor.dtype).toBe('bfloat16')
    expect(models.vae.registry.parameters.get('decoder.conv_in.weight')!.tensor.dtype).toBe('float32')
    models.dispose()
  })

  it('may name the attention of the VAE as older libraries did', async () => {
    const older = [
      ['to_q', 'query'],
      ['to_k', 'key'],
      ['to_v', 'value'],
      ['to_out.0', 'proj_attn'],
    ] as const
    let renamed = 0
    const { folder } = await withTensors(vaeFile, (tensor) => {
      const pair = older.find(([name]) => tensor.name.includes(`.${name}.`))
      if (!pair) return tensor
      renamed++
      return { ...tensor, name: tensor.name.replace(pair[0], pair[1]) }
    })
    expect(renamed).toBe(16)
    const [models, current] = [await loadDiffusersFolder(folder), await loadDiffusersFolder(saved)]
    await expectSameParameters(models, current)
    models.dispose()
    current.dispose()
  })

  it('may store projections as matrices or as 1x1 convolutions', async () => {
    let flattened = 0
    let raised = 0
    const { folder } = await withTensors(unetFile, (tensor) => {
      if (/proj_(in|out)\.weight$/.test(tensor.name)) {
        flattened++
        return { ...tensor, shape: tensor.shape.slice(0, 2) }
      }
      if (/attn1\.to_[qkv]\.weight$/.test(tensor.name)) {
        raised++
        return { ...tensor, shape: [...tensor.shape, 1, 1] }
      }
      return tensor
    })
    expect([flattened, raised]).toEqual([32, 48])
    const [models, current] = [await loadDiffusersFolder(folder), await loadDiffusersFolder(saved)]
    await expectSameParameters(models, current)
    models.dispose()
    current.dispose()
  })
})

describe('a damaged diffusers folder', () => {
  it.each([
    [unetFile, 'mid_block.resnets.0.conv1.weight'],
    ['text_encoder/model.safetensors', 'text_model.final_layer_norm.bias'],
    [vaeFile, 'decoder.conv_out.bias'],
  ])('without a tensor in %s is refused with file and tensor', async (name, tensorName) => {
    const { folder, path } = await withTensors(name, (tensor) => (tensor.name === tensorName ? null : tensor))
    const error = await refusal(folder)
    expect(error).toBeInstanceOf(CheckpointError)
    expect((error as CheckpointError).path).toBe(path)
    expect(error.message).toContain(`"${tensorName}"`)
  })

  it('with a tensor of another shape is refused with file, tensor and both shapes', async () => {
    const { folder, path } = await withTensors(unetFile, (tensor) =>
      tensor.name === 'conv_in.weight' ? { ...tensor, shape: [32, 3, 3, 4] } : tensor,
    )
    const error = await refusal(folder)
    expect(error).toBeInstanceOf(CheckpointError)
    expect(error.message).toContain('"conv_in.weight" has shape [32, 3, 3, 4], expected [32, 4, 3, 3]')
    expect((error as CheckpointError).path).toBe(path)
  })

  it.each([0.999, 0.3, 0.0001, 0])('with a file cut to %d of its length is refused with the file', async (share) => {
    const folder = join(await makeFolder(), 'model')
    await cp(saved, folder, { recursive: true })
    const path = join(folder, vaeFile)
    await truncate(path, Math.floor((await readFile(path)).byteLength * share))
    const error = await refusal(folder)
    expect(error).toBeInstanceOf(CheckpointError)
    expect((error as CheckpointError).path).toBe(path)
    expect(error.message).toContain(share === 0 ? 'found an empty file' : 'cut short')
  })

  it('without a file or a configuration is refused with its path', async () => {
    for (const name of [unetFile, 'vae/config.json']) {
      const folder = join(await makeFolder(), 'model')
      await cp(saved, folder, { recursive: true })
      await rm(join(folder, name))
      const error = await refusal(folder)
      expect(error).toBeInstanceOf(IoError)
      expect((error as IoError).path).toBe(join(folder, name))
    }
  })

  it.each([
    ['unet/config.json', '{"block_out_channels": "many"}', '"block_out_channels" must be a list of numbers'],
    ['vae/config.json', '[]', 'JSON object'],
    ['vae/config.json', 'null', 'JSON object'],
    ['text_encoder/config.json', '{"hidden_act": "relu"}', '"hidden_act" must be quick_gelu or gelu, found "relu"'],
    ['scheduler/scheduler_config.json', '{"prediction_type": "sample"}', 'epsilon or v_prediction, found "sample"'],
    ['unet/config.json', '{', 'JSON object'],
  ])('with %s of %s is refused with the key', async (name, text, message) => {
    const folder = join(await makeFolder(), 'model')
    await cp(saved, folder, { recursive: true })
    await addFiles(folder, { [name]: text })
    const error = await refusal(folder)
    expect(error).toBeInstanceOf(CheckpointError)
    expect(error.message.startsWith(`${join(folder, name)}: `)).toBe(true)
    expect(error.message).toContain(message)
  })
})
