import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadDiffusersFolder, saveDiffusersFolder } from '../../lib/checkpoints/diffusersFolder.ts'
import { KeyedFile } from '../../lib/checkpoints/keyedFile.ts'
import { ldmKeys } from '../../lib/checkpoints/keys/ldmKeys.ts'
import { loadLdmCheckpoint } from '../../lib/checkpoints/loadLdmCheckpoint.ts'
import { parameterRequests } from '../../lib/checkpoints/parameterList.ts'
import { PartPlan } from '../../lib/checkpoints/partPlan.ts'
import { saveLdmCheckpoint } from '../../lib/checkpoints/saveLdmCheckpoint.ts'
import { openTensorFile } from '../../lib/io/openTensorFile.ts'
import { bytesOf, bytesToFloat32, float32ToBytes } from '../../lib/io/tensorBytes.ts'
import type { TensorFile } from '../../lib/io/tensorFile.ts'
import { openTorchFile } from '../../lib/io/torchFile.ts'
import { ClipTextModel } from '../../lib/models/clip/textModel.ts'
import type { StableDiffusionConfig } from '../../lib/models/stableDiffusion/config.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import {
  changedCopy,
  fewWords1,
  fewWords2,
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

const parts = ['unet', 'textEncoder', 'vae'] as const
const both: readonly (readonly [string, StableDiffusionConfig, number])[] = [
  ['tiny SD 1', fewWords1, 684 + 244 + 4 + 3 * 16 + 1],
  // OpenCLIP: 12 tensors a layer, one layer more than the model has, and two loose tensors.
  ['tiny SD 2', fewWords2, 684 + 244 + 4 + 4 * 12 + 2],
]

const small: readonly (readonly [string, StableDiffusionConfig])[] = [
  ['a small SD 1', small1],
  ['a small SD 2', small2],
]

/** The weights that `saveTinyCheckpoint` wrote. */
async function expectSavedWeights(models: StableDiffusion, config: StableDiffusionConfig): Promise<void> {
  const expected = new StableDiffusion(config, () => randomWeights(5))
  for (const part of parts) {
    const [found, wanted] = [await valuesOf(models[part].registry), await valuesOf(expected[part].registry)]
    expect([...found.keys()]).toEqual([...wanted.keys()])
    for (const [name, bytes] of found) expect(bytes.equals(wanted.get(name)!), `${part} ${name}`).toBe(true)
  }
  expected.dispose()
}

/** Fails unless two files have the same tensors, bit for bit. */
async function expectSameTensors(actual: string, expected: string): Promise<void> {
  const [found, wanted] = [(await readTensors(actual)).tensors, (await readTensors(expected)).tensors]
  expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort())
  for (const [name, tensor] of found) {
    const { dtype, shape, data } = wanted.get(name)!
    expect({ dtype: tensor.dtype, shape: tensor.shape }, name).toEqual({ dtype, shape })
    expect(Buffer.from(tensor.data).equals(data), name).toBe(true)
  }
}

describe('a single-file checkpoint', () => {
  it.each(both)('gives back %s bit for bit, its sizes told by its shapes', async (_name, config, count) => {
    const path = await saveTinyCheckpoint(config)
    const baseline = await baselineBuffers()
    const { models, report } = await loadLdmCheckpoint(path)
    expect(models.config).toEqual({ ...config, name: path })
    await expectSavedWeights(models, config)
    models.dispose()
    expect(await liveBuffers()).toBe(baseline)
    expect(report).toMatchObject({ kind: 'stableDiffusion', version: config.version, refusal: null, ema: false })
    expect(report.description).toBe(`Stable Diffusion ${config.version}.x`)
    expect(report.all.tensorCount).toBe(count)
    expect(report.parts.unet).toMatchObject({ tensorCount: 684, dtypes: ['F32'] })
    expect(report.parts.vae).toMatchObject({ tensorCount: 244, dtypes: ['F32'] })
  })

  it.each(small)('of %s comes back the same through memory, and through a diffusers folder', async (_name, config) => {
    const extra = ['model_ema.diffusion_modelout2bias', 'betas', 'something.else'].map((name) => zerosOf(name, [3]))
    const path = await changedCopy(await saveTinyCheckpoint(config), { more: extra })
    const first = await loadLdmCheckpoint(path)
    expect(first.report.ema).toBe(true)
    expect(first.report.unused).toEqual(expect.arrayContaining(extra.map(({ name }) => name)))
    const folder = await makeFolder()
    await saveLdmCheckpoint(join(folder, 'again.safetensors'), first.models, { source: path })
    await expectSameTensors(join(folder, 'again.safetensors'), path)
    await saveDiffusersFolder(join(folder, 'diffusers'), first.models)
    first.models.dispose()
    const second = await loadDiffusersFolder(join(folder, 'diffusers'))
    await saveLdmCheckpoint(join(folder, 'third.safetensors'), second, { source: path })
    second.dispose()
    await expectSameTensors(join(folder, 'third.safetensors'), path)
  })

  it.each(small)('of %s is read from a PyTorch file as well, and written as one', async (_name, config) => {
    const plain = await saveTinyCheckpoint(config, 'model.safetensors')
    const path = await saveTinyCheckpoint(config, 'model.ckpt', { epoch: 2, globalStep: 40 })
    await expectSameTensors(path, plain)
    const { models } = await loadLdmCheckpoint(path, { sizes: sizesOf(config) })
    await expectSavedWeights(models, config)
    const again = join(await makeFolder(), 'again.ckpt')
    await saveLdmCheckpoint(again, models, { source: path, epoch: 1, globalStep: 5 })
    models.dispose()
    const file = await openTorchFile(again)
    expect(Object.fromEntries(file.outer)).toEqual({ epoch: 3, global_step: 45 })
    expect(file.under).toBe('state_dict')
    await file.close()
    await expectSameTensors(again, plain)
  })

  it('is laid out as other tools expect', async () => {
    const one = (await readTensors(await saveTinyCheckpoint(small1))).tensors
    expect(one.get('model.diffusion_model.input_blocks.1.1.proj_in.weight')!.shape).toEqual([32, 32, 1, 1])
    expect(one.get('first_stage_model.encoder.mid.attn_1.q.weight')!.shape).toEqual([32, 32, 1, 1])
    expect(one.get('first_stage_model.quant_conv.weight')!.shape).toEqual([8, 8, 1, 1])
    const places = one.get('cond_stage_model.transformer.text_model.embeddings.position_ids')!
    expect([places.dtype, places.shape, [...bytesToFloat32(places.data, 'I64')][76]]).toEqual(['I64', [1, 77], 76])
    const two = (await readTensors(await saveTinyCheckpoint(small2))).tensors
    expect(two.get('model.diffusion_model.input_blocks.1.1.proj_in.weight')!.shape).toEqual([32, 32])
    expect(two.get('cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight')!.shape).toEqual([144, 48])
    expect([...two.keys()].filter((name) => name.endsWith('position_ids'))).toEqual([])
  })

  it('of 2.x, without a source, ends with a copy of its last layer and neutral projections', async () => {
    const { tensors, metadata } = await readTensors(await saveTinyCheckpoint(small2))
    const prefix = 'cond_stage_model.model.'
    const layer = (i: number) =>
      [...tensors.keys()].filter((name) => name.startsWith(`${prefix}transformer.resblocks.${i}.`))
    expect(layer(2)).toHaveLength(12)
    for (const name of layer(2)) expect(tensors.get(name)!.data).toEqual(tensors.get(name.replace('.2.', '.1.'))!.data)
    const projection = tensors.get(`${prefix}text_projection`)!
    expect(projection.shape).toEqual([48, 48])
    expect(new Set(bytesToFloat32(projection.data, 'F32'))).toEqual(new Set([1]))
    expect(tensors.get(`${prefix}logit_scale`)).toMatchObject({
      dtype: 'I64',
      shape: [],
      data: bytesOf(BigInt64Array.of(1n)),
    })
    expect(metadata.get('modelspec.prediction_type')).toBe('epsilon')
  })

  it('of 2.x takes queries, keys and values from the thirds of one matrix, in this order', async () => {
    const { tensors } = await readTensors(await saveTinyCheckpoint(small2))
    const models = new StableDiffusion(small2, () => randomWeights(5))
    const values = await valuesOf(models.textEncoder.registry)
    models.dispose()
    for (const kind of ['weight', 'bias']) {
      const fused = tensors.get(`cond_stage_model.model.transformer.resblocks.1.attn.in_proj_${kind}`)!.data
      const thirds = ['q', 'k', 'v'].map((x) => values.get(`text_model.encoder.layers.1.self_attn.${x}_proj.${kind}`)!)
      expect(Buffer.concat(thirds).equals(fused), kind).toBe(true)
    }
  })

  it.each([
    ['fp16', 'F16', 'float16'],
    ['bf16', 'BF16', 'bfloat16'],
    ['float', 'F32', 'float32'],
  ] as const)('is cast to %s where its parts are written, and nowhere else', async (precision, dtype, memory) => {
    const original = await saveTinyCheckpoint(small2)
    const source = await changedCopy(original, { more: [zerosOf('model_ema.decay', [2])] })
    const { models } = await loadLdmCheckpoint(source)
    const path = join(await makeFolder(), 'cast.safetensors')
    await saveLdmCheckpoint(path, models, { source, precision })
    models.dispose()
    const { tensors } = await readTensors(path)
    const before = (await readTensors(source)).tensors
    expect(tensors.get('model_ema.decay')!.dtype).toBe('F32')
    expect(tensors.get('cond_stage_model.model.transformer.resblocks.2.ln_1.bias')!.dtype).toBe('F32')
    for (const key of [
      'model.diffusion_model.out.2.weight',
      'cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight',
    ]) {
      const expected = float32ToBytes(bytesToFloat32(before.get(key)!.data, 'F32'), dtype)
      expect(tensors.get(key)!.dtype).toBe(dtype)
      expect(Buffer.from(tensors.get(key)!.data).equals(expected), key).toBe(true)
    }
    // From there the type in memory makes no difference, and the type is kept when none is asked for.
    const halves = await loadLdmCheckpoint(path, { dtypes: { unet: memory, textEncoder: memory, vae: memory } })
    const again = join(await makeFolder(), 'again.safetensors')
    await saveLdmCheckpoint(again, halves.models, { source: path })
    halves.models.dispose()
    await expectSameTensors(again, path)
  })

  it('leaves parts that are not written as the source has them', async () => {
    const source = await saveTinyCheckpoint(small1)
    const other = new StableDiffusion(small1, () => randomWeights(6))
    const path = join(await makeFolder(), 'half.safetensors')
    await saveLdmCheckpoint(path, other, { source, parts: ['unet'] })
    const [before, after] = [(await readTensors(source)).tensors, (await readTensors(path)).tensors]
    const changed = [...after.keys()].filter(
      (name) => !Buffer.from(after.get(name)!.data).equals(before.get(name)!.data),
    )
    expect(changed.length).toBeGreaterThan(50)
    expect(changed.every((name) => name.startsWith('model.diffusion_model.'))).toBe(true)
    await expect(saveLdmCheckpoint(path, other, { parts: ['unet'] })).rejects.toThrow('without a source')
    other.dispose()
  })

  it('may be written over its own source', async () => {
    const path = await saveTinyCheckpoint(small1)
    const before = await readFile(path)
    const { models } = await loadLdmCheckpoint(path)
    await saveLdmCheckpoint(path, models, { source: path })
    models.dispose()
    expect((await readFile(path)).equals(before)).toBe(true)
  })

  it('is not written over by another model', async () => {
    const path = await saveTinyCheckpoint(small2)
    const models = new StableDiffusion(small1, () => randomWeights(5))
    await expect(saveLdmCheckpoint(`${path}.new`, models, { source: path })).rejects.toThrow(
      'expected the Stable Diffusion 1.x checkpoint that the model came from, found Stable Diffusion 2.x',
    )
    models.dispose()
    const wider = { ...small1, textEncoder: { ...small1.textEncoder, vocabSize: 101 } }
    const grown = new StableDiffusion(wider, () => randomWeights(5))
    const source = await saveTinyCheckpoint(small1)
    await expect(saveLdmCheckpoint(`${path}.new`, grown, { source })).rejects.toThrow(
      'has shape [100, 32]; the model to save has [101, 32]',
    )
    grown.dispose()
  })
})

describe('variations of single-file checkpoints', () => {
  it('1.x text encoders that lack a segment of their names are repaired, for good', async () => {
    const whole = await saveTinyCheckpoint(small1)
    const prefix = 'cond_stage_model.transformer.'
    const path = await changedCopy(whole, {
      change: (tensor) => ({ ...tensor, name: tensor.name.replace(`${prefix}text_model.`, prefix) }),
    })
    const { models } = await loadLdmCheckpoint(path)
    await expectSavedWeights(models, small1)
    const again = join(await makeFolder(), 'again.safetensors')
    await saveLdmCheckpoint(again, models, { source: path })
    models.dispose()
    await expectSameTensors(again, whole)
  })

  it.each([
    ['float', zerosOf('cond_stage_model.transformer.text_model.embeddings.position_ids', [1, 77], 'F16')],
    ['missing', null],
  ])('places of captions may be %s', async (_name, places) => {
    const path = await changedCopy(await saveTinyCheckpoint(small1), {
      change: (tensor) => (tensor.name.endsWith('position_ids') ? places : tensor),
    })
    const { models, report } = await loadLdmCheckpoint(path)
    expect(report.unused).toEqual([])
    await saveLdmCheckpoint(`${path}.again`, models, { source: path })
    models.dispose()
    await expectSameTensors(`${path}.again`, path)
  })

  it('2.x text encoders may carry places of captions under the names of 1.x', async () => {
    const places = zerosOf('cond_stage_model.transformer.text_model.embeddings.position_ids', [1, 77], 'I64')
    const path = await changedCopy(await saveTinyCheckpoint(small2), { more: [places] })
    const { models, report } = await loadLdmCheckpoint(path)
    models.dispose()
    expect(report.version).toBe(2)
  })

  it('projections of 2.x U-Nets may be convolutions, and stay so', async () => {
    const path = await changedCopy(await saveTinyCheckpoint(small2), {
      change: (tensor) =>
        /proj_(in|out)\.weight$/.test(tensor.name) && tensor.name.startsWith('model.') && tensor.shape.length === 2
          ? { ...tensor, shape: [...tensor.shape, 1, 1] }
          : tensor,
    })
    const { models } = await loadLdmCheckpoint(path)
    await expectSavedWeights(models, small2)
    await saveLdmCheckpoint(`${path}.again`, models, { source: path })
    models.dispose()
    await expectSameTensors(`${path}.again`, path)
  })

  it('float64 tensors are converted', async () => {
    const path = await changedCopy(await saveTinyCheckpoint(small2), {
      change: (tensor) =>
        tensor.dtype === 'F32'
          ? { ...tensor, dtype: 'F64', data: float32ToBytes(bytesToFloat32(tensor.data, 'F32'), 'F64') }
          : tensor,
    })
    const { models } = await loadLdmCheckpoint(path)
    await expectSavedWeights(models, small2)
    models.dispose()
  })

  it('tensors that are not one run of bytes are gathered', async () => {
    const file = await openTensorFile(await saveTinyCheckpoint(small2))
    const scattered: TensorFile = {
      path: file.path,
      metadata: file.metadata,
      names: file.names,
      has: (name) => file.has(name),
      info: (name) => ({ ...file.info(name), place: undefined }),
      read: (name) => file.read(name),
      readFloat32: (name) => file.readFloat32(name),
      close: () => file.close(),
    }
    const problems: string[] = []
    const keys = ldmKeys('textEncoder', small2)
    const requests = parameterRequests('textEncoder', small2)
    const plan = new PartPlan(new KeyedFile(scattered), requests, (name) => [keys.toLdm(name)!], problems)
    expect(problems).toEqual([])
    await plan.readAhead()
    await file.close()
    const expected = new StableDiffusion(small2, () => randomWeights(5))
    const text = new ClipTextModel(small2.textEncoder, plan.source)
    expect(await valuesOf(text.registry)).toEqual(await valuesOf(expected.textEncoder.registry))
    text.dispose()
    expected.dispose()
  })
})
