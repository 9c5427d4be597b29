/** A pipeline that diffusers itself saved, in every form it has: scripts/reference/diffusers_folder.py. */
import { cp, mkdir, mkdtemp, readdir, readFile, rename, symlink } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readDiffusersConfig } from '../../lib/checkpoints/diffusersConfig.ts'
import { type LoadOptions, loadDiffusersFolder } from '../../lib/checkpoints/diffusersFolder.ts'
import { findWeights } from '../../lib/checkpoints/folderSource.ts'
import { toFileLayout } from '../../lib/checkpoints/parameterFile.ts'
import { partFolders } from '../../lib/checkpoints/partWeights.ts'
import { openSafetensors, type SafetensorsTensor, writeSafetensors } from '../../lib/io/safetensors.ts'
import { float32ToBytes } from '../../lib/io/tensorBytes.ts'
import type { ModelPart, StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { fileShape } from '../../lib/nn/weights.ts'
import { scope } from '../../lib/tensor/scope.ts'
import { CheckpointError, IoError } from '../../lib/util/errors.ts'
import { float16ToFloat32, float32ToFloat16 } from '../../lib/util/float16.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { parameterValues } from '../support/formula.ts'
import { addFiles, makeFolder } from '../support/pictures.ts'

const fixtures = fileURLToPath(new URL('../fixtures/diffusers_folder', import.meta.url))
const plain = join(fixtures, 'plain')
const parts = ['unet', 'textEncoder', 'vae'] as const satisfies readonly ModelPart[]

/** A folder with the weights of some parts in other forms; plain ones elsewhere, unless `only`. */
async function assemble(forms: Partial<Record<ModelPart, string>>, { keepPlain = false } = {}): Promise<string> {
  const folder = join(await makeFolder(), 'model')
  await cp(plain, folder, {
    recursive: true,
    filter: (path) =>
      keepPlain ||
      !parts.some(
        (part) =>
          forms[part] !== undefined && /safetensors$/.test(path) && path.includes(`/${partFolders[part].folder}/`),
      ),
  })
  for (const [part, form] of Object.entries(forms)) {
    const name = partFolders[part as ModelPart].folder
    await cp(join(fixtures, form, name), join(folder, name), { recursive: true })
  }
  return folder
}

/** Every parameter must hold the formula's values, rounded through half precision for the parts in `half`. */
async function expectFormulaWeights(models: StableDiffusion, half: readonly ModelPart[] = []): Promise<void> {
  let compared = 0
  for (const part of parts)
    for (const record of models[part].registry.parameters.values()) {
      const shape = fileShape(record.shape, record.layout)
      const exact = parameterValues(`${partFolders[part].folder}.${record.name}`, shape)
      const expected = half.includes(part) ? float16ToFloat32(float32ToFloat16(exact)) : exact
      const inFile = scope(() => toFileLayout(record.tensor, record))
      const found = (await inFile.read()) as Float32Array
      expect(found, `${part} ${record.name}`).toEqual(expected)
      if (inFile !== record.tensor) inFile.dispose()
      compared++
    }
  expect(compared).toBeGreaterThan(200)
}

async function expectLoads(folder: string, half: readonly ModelPart[] = [], options: LoadOptions = {}): Promise<void> {
  const baseline = await baselineBuffers()
  const models = await loadDiffusersFolder(folder, options)
  await expectFormulaWeights(models, half)
  models.dispose()
  expect(await liveBuffers()).toBe(baseline)
}

const refusal = async (folder: string, options: LoadOptions = {}): Promise<Error> =>
  loadDiffusersFolder(folder, options).then(
    () => new Error('it loaded'),
    (error: unknown) => error as Error,
  )

describe('a folder that diffusers saved', () => {
  it('loads with every value, from the names of transformers 5', async () => {
    await expectLoads(plain)
  })

  it('states version, prediction type and what was kept for saving', async () => {
    const config = await readDiffusersConfig(plain)
    expect(config).toMatchObject({ version: 2, predictionType: 'v_prediction' })
    expect(config.unet).toMatchObject({ heads: [1, 2], linearProjection: true, blockOutChannels: [4, 8] })
    const { origin } = config
    expect(origin).toMatchObject({ folder: plain, predictionTypeFrom: 'scheduler', notes: [] })
    expect(origin?.configs.get('unet/config.json')?.get('upcast_attention')).toBe(true)
    expect(origin?.configs.get('vae/config.json')?.get('sample_size')).toBe(768)
  })

  it.each([
    ['safetensors shards', { unet: 'sharded', textEncoder: 'sharded' }, []],
    ['bin files with the names of 2022', { textEncoder: 'bin', vae: 'bin' }, []],
    ['bin shards', { unet: 'binSharded' }, []],
    ['only half-precision variants', { textEncoder: 'fp16', vae: 'fp16' }, ['textEncoder', 'vae']],
    ['half-precision shards', { unet: 'fp16Sharded' }, ['unet']],
  ] as const)('loads from %s', async (_name, forms, half) => {
    await expectLoads(await assemble(forms), half)
  })

  it('has its plain weights loaded beside variants, unless the variant is asked for', async () => {
    const folder = await assemble({ textEncoder: 'fp16', unet: 'fp16Sharded' }, { keepPlain: true })
    await expectLoads(folder)
    await expectLoads(folder, ['textEncoder', 'unet'], { variant: 'fp16' })
  })

  it('has its safetensors files preferred to bin, and one file to several', async () => {
    const folder = await assemble({ textEncoder: 'bin', vae: 'bin', unet: 'sharded' }, { keepPlain: true })
    const weights = await findWeights(folder)
    expect(weights.textEncoder).toMatchObject({ format: 'safetensors', sharded: false, variant: null })
    expect(weights.vae.path).toBe(join(folder, 'vae', 'diffusion_pytorch_model.safetensors'))
    expect(weights.unet.sharded).toBe(false)
  })

  it('is refused with the variants there are when none fits', async () => {
    const folder = await assemble({ textEncoder: 'fp16', vae: 'fp16' })
    const missing = await refusal(folder, { variant: 'fp61' })
    expect(missing.message).toContain('expected weights in the variant "fp61", found fp16. Did you mean "fp16"?')
    const vae = join(folder, 'vae', 'diffusion_pytorch_model')
    await cp(`${vae}.fp16.safetensors`, `${vae}.ema.safetensors`)
    expect((await refusal(folder)).message).toContain('the variants ema, fp16 and no plain ones')
    await expectLoads(folder, ['textEncoder', 'vae'], { variant: 'fp16' })
  })

  it('is refused with what the folder holds when a part has no weights', async () => {
    const folder = await assemble({})
    const unet = join(folder, 'unet')
    await rename(join(unet, 'diffusion_pytorch_model.safetensors'), join(unet, 'flax_model.msgpack'))
    const error = await refusal(folder)
    expect(error).toBeInstanceOf(IoError)
    expect(error.message).toContain('found config.json, flax_model.msgpack')
  })

  it('may be links into a cache of blobs', async () => {
    const cache = await mkdtemp(join(await makeFolder(), 'cache-'))
    const snapshot = join(cache, 'snapshots', '0123456789abcdef')
    const blobs = join(cache, 'blobs')
    await mkdir(blobs, { recursive: true })
    for (const folder of [plain, join(fixtures, 'sharded')])
      for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || entry.name === 'diffusion_pytorch_model.safetensors') continue
        const path = join(entry.parentPath, entry.name)
        const link = join(snapshot, relative(folder, path))
        const blob = join(
          blobs,
          `${basename(folder)}-${relative(folder, path).replaceAll('/', '-')}`.replaceAll('.', '_'),
        )
        await cp(path, blob)
        await mkdir(join(link, '..'), { recursive: true })
        await symlink(relative(join(link, '..'), blob), link)
      }
    await cp(join(plain, 'vae'), join(snapshot, 'vae'), { recursive: true, force: false })
    const link = join(cache, 'main')
    await symlink(snapshot, link)
    await expectLoads(link)
  })
})

describe('weights beyond the ordinary', () => {
  const file = 'vae/diffusion_pytorch_model.safetensors'
  const rewrite = async (edit: (tensors: SafetensorsTensor[]) => SafetensorsTensor[]): Promise<string> => {
    const folder = await assemble({})
    const opened = await openSafetensors(join(folder, file))
    const tensors: SafetensorsTensor[] = []
    for (const name of opened.names) {
      const { shape } = opened.info(name)
      tensors.push({ name, shape, dtype: 'F64', data: float32ToBytes(await opened.readFloat32(name), 'F64') })
    }
    await opened.close()
    await writeSafetensors(join(folder, file), edit(tensors))
    return folder
  }

  it('may be float64', async () => {
    await expectLoads(await rewrite((tensors) => tensors))
  })

  it('are refused when no layer takes them', async () => {
    const baseline = await baselineBuffers()
    const extra = { name: 'encoder.adapter.weight', shape: [2], dtype: 'F32', data: new Uint8Array(8) } as const
    const folder = await rewrite((tensors) => [...tensors, extra])
    const error = await refusal(folder)
    expect(error).toBeInstanceOf(CheckpointError)
    expect(error.message).toBe(
      `${join(folder, file)}: a tensor is not as the model described by the configuration has them: "encoder.adapter.weight" is a tensor that it does not have`,
    )
    expect(await liveBuffers()).toBe(baseline)
  })
})

describe('the shards of a diffusers folder', () => {
  const index = 'unet/diffusion_pytorch_model.safetensors.index.json'
  const [first, second] = [1, 2].map((n) => `diffusion_pytorch_model-0000${n}-of-00002.safetensors`) as [string, string]
  const change = async (edit: (map: Record<string, unknown>) => unknown): Promise<[folder: string, path: string]> => {
    const folder = await assemble({ unet: 'sharded' })
    const { weight_map: map } = JSON.parse(await readFile(join(folder, index), 'utf8')) as {
      weight_map: Record<string, unknown>
    }
    await addFiles(folder, { [index]: JSON.stringify({ weight_map: edit(map) }) })
    return [folder, join(folder, index)]
  }

  it.each([
    ['another folder', '../secret.safetensors', 'is not the name of a file beside the index'],
    ['a folder of Windows', 'a\\b.safetensors', 'is not the name of a file beside the index'],
    ['an absolute path', '/etc/passwd', 'is not the name of a file beside the index'],
    ['a pickle', 'model.bin', 'does not end in .safetensors'],
    ['a number', 3, 'is not a text'],
    ['a missing file', 'gone.safetensors', 'the index lists the file "gone.safetensors", which cannot be opened'],
    ['the wrong shard', second, `is listed for the file "${second}", which does not hold it`],
  ])('are refused when the index names %s', async (_what, shard, message) => {
    const [folder, path] = await change((map) => ({ ...map, 'conv_in.weight': shard }))
    const error = await refusal(folder)
    expect(error).toBeInstanceOf(CheckpointError)
    expect((error as CheckpointError).path).toBe(path)
    expect(error.message).toContain(message)
  })

  it('are refused when the index lists a tensor that no shard holds', async () => {
    const [folder] = await change((map) => ({ ...map, 'conv_between.weight': first }))
    expect((await refusal(folder)).message).toContain('"conv_between.weight" is listed for the file')
  })

  it('are refused when a shard holds a tensor that the index does not list', async () => {
    const [folder] = await change((map) => {
      delete map['conv_in.bias']
      return map
    })
    expect((await refusal(folder)).message).toContain('holds a tensor "conv_in.bias" that the index does not list')
  })

  it('are refused when two of them hold a tensor', async () => {
    const [folder] = await change((map) => map)
    await cp(join(folder, 'unet', first), join(folder, 'unet', second))
    expect((await refusal(folder)).message).toMatch(/is listed for the file|that the index lists for the file/)
  })

  it('are refused when the index lists a tensor twice', async () => {
    const [folder] = await change((map) => map)
    const text = await readFile(join(folder, index), 'utf8')
    const twice = text.replace('{"weight_map":{', `{"weight_map":{"conv_in.weight":${JSON.stringify(second)},`)
    await addFiles(folder, { [index]: twice })
    expect((await refusal(folder)).message).toContain('found the key "conv_in.weight" twice')
  })

  it.each([
    ['no map', () => undefined],
    ['a list', () => []],
    ['an empty map', () => ({})],
    ['a text', () => 'unet'],
  ])('are refused when the index has %s', async (_what, edit) => {
    const [folder] = await change(edit)
    expect((await refusal(folder)).message).toContain('"weight_map" must be an object of tensor names and file names')
  })

  it('may have tensors with the names of object members', async () => {
    const [folder] = await change((map) => Object.assign(JSON.parse(`{"__proto__": ${JSON.stringify(first)}}`), map))
    expect((await refusal(folder)).message).toMatch(/tensor "(__proto__)" is listed for the file/)
  })
})
