import { cp, readdir, readFile, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readDiffusersConfig } from '../../lib/checkpoints/diffusersConfig.ts'
import {
  loadDiffusersFolder,
  type SaveFolderOptions,
  saveDiffusersFolder,
} from '../../lib/checkpoints/diffusersFolder.ts'
import { openTensorFile } from '../../lib/io/openTensorFile.ts'
import { tinySd1, tinySd2 } from '../../lib/models/stableDiffusion/config.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import { ArgumentError, IoError } from '../../lib/util/errors.ts'
import { addFiles, makeFolder } from '../support/pictures.ts'

const plain = fileURLToPath(new URL('../fixtures/diffusers_folder/plain', import.meta.url))

type Values = Readonly<Record<string, unknown>>
const json = async (...path: readonly string[]): Promise<Values> =>
  JSON.parse(await readFile(join(...path), 'utf8')) as Values

/** Every file of a folder with its bytes, by its path inside it. */
async function contents(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const pairs = files
    .sort()
    .map(async (path) => [path.slice(folder.length + 1), await readFile(path, 'base64')] as const)
  return new Map(await Promise.all(pairs))
}

/** A copy of the fixture that may be changed. */
async function copyOfPlain(): Promise<string> {
  const folder = join(await makeFolder(), 'source')
  await cp(plain, folder, { recursive: true })
  return folder
}

async function saveFrom(source: string, options: SaveFolderOptions = {}, dtypes = {}): Promise<string> {
  const folder = join(await makeFolder(), 'new', 'model')
  const models = await loadDiffusersFolder(source, { dtypes })
  await saveDiffusersFolder(folder, models, options).finally(() => models.dispose())
  return folder
}

const failure = async (pending: Promise<unknown>): Promise<Error> =>
  pending.then(
    () => new Error('nothing was thrown'),
    (error: unknown) => error as Error,
  )

const completeFolder = [
  'model_index.json',
  'scheduler/scheduler_config.json',
  'text_encoder/config.json',
  'text_encoder/model.safetensors',
  'tokenizer/merges.txt',
  'tokenizer/special_tokens_map.json',
  'tokenizer/tokenizer_config.json',
  'tokenizer/vocab.json',
  'unet/config.json',
  'unet/diffusion_pytorch_model.safetensors',
  'vae/config.json',
  'vae/diffusion_pytorch_model.safetensors',
]

describe('a saved diffusers folder', () => {
  it('is complete, and the same bytes when it is loaded and saved again', async () => {
    const first = await contents(await saveFrom(plain))
    expect([...first.keys()]).toEqual(completeFolder)
    const folder = await saveFrom(plain)
    expect(await contents(await saveFrom(folder))).toEqual(first)
  })

  it('has the same values in bin files, under the names of PyTorch', async () => {
    const [safe, pickled] = [await saveFrom(plain), await saveFrom(plain, { format: 'bin' })]
    expect((await readdir(join(pickled, 'text_encoder'))).sort()).toEqual(['config.json', 'pytorch_model.bin'])
    for (const [a, b] of [
      ['unet/diffusion_pytorch_model.safetensors', 'unet/diffusion_pytorch_model.bin'],
      ['text_encoder/model.safetensors', 'text_encoder/pytorch_model.bin'],
    ] as const) {
      const [one, other] = [await openTensorFile(join(safe, a)), await openTensorFile(join(pickled, b))]
      expect([...other.names].sort()).toEqual([...one.names].sort())
      for (const name of one.names) expect(await other.read(name), name).toEqual(await one.read(name))
      await one.close()
      await other.close()
    }
    expect((await contents(await saveFrom(pickled))).get('vae/diffusion_pytorch_model.safetensors')).toEqual(
      (await contents(safe)).get('vae/diffusion_pytorch_model.safetensors'),
    )
  })

  it.each([
    [{}, { unet: 'bfloat16' }, 'BF16', 'F32', 'float32'],
    [{ precision: 'fp16' }, {}, 'F16', 'F16', 'float16'],
    [{ precision: 'float' }, { unet: 'bfloat16', textEncoder: 'bfloat16' }, 'F32', 'F32', 'float32'],
    [{ precision: 'bf16' }, {}, 'BF16', 'BF16', 'bfloat16'],
  ] as const)(
    'with %o of parts in %o has a U-Net in %s and a text encoder in %s',
    async (options, dtypes, unet, text, name) => {
      const folder = await saveFrom(plain, options, dtypes)
      for (const [file, tensor, expected] of [
        ['unet/diffusion_pytorch_model.safetensors', 'conv_in.weight', unet],
        ['text_encoder/model.safetensors', 'text_model.final_layer_norm.bias', text],
      ] as const) {
        const opened = await openTensorFile(join(folder, file))
        expect(opened.info(tensor).dtype).toBe(expected)
        await opened.close()
      }
      expect((await json(folder, 'text_encoder/config.json')).torch_dtype).toBe(name)
    },
  )

  it('keeps what the source said beyond the sizes', async () => {
    const source = await copyOfPlain()
    const scheduler = {
      _class_name: 'PNDMScheduler',
      prediction_type: 'v_prediction',
      skip_prk_steps: true,
      beta_start: 0.00085,
    }
    await addFiles(source, {
      'scheduler/scheduler_config.json': JSON.stringify({ ...scheduler, steps_offset: 1, set_alpha_to_one: false }),
      'tokenizer/vocab.json': '{"kept": 0}',
      'tokenizer/merges.txt': 'as it was',
      'tokenizer/notes.txt': 'not a part of a tokenizer',
    })
    const folder = await saveFrom(source)
    const unet = await json(folder, 'unet/config.json')
    expect(unet).toEqual(await json(plain, 'unet/config.json'))
    expect(unet).toMatchObject({ upcast_attention: true, sample_size: 96, attention_head_dim: [1, 2] })
    expect(await json(folder, 'vae/config.json')).toMatchObject({ sample_size: 768, force_upcast: true })
    expect(await json(folder, 'text_encoder/config.json')).toMatchObject({ projection_dim: 512, eos_token_id: 2 })
    expect(await json(folder, 'scheduler/scheduler_config.json')).toMatchObject(scheduler)
    expect((await json(folder, 'model_index.json')).scheduler).toEqual(['diffusers', 'PNDMScheduler'])
    expect(await contents(join(folder, 'tokenizer'))).toEqual(
      new Map([
        ['merges.txt', Buffer.from('as it was').toString('base64')],
        ['vocab.json', Buffer.from('{"kept": 0}').toString('base64')],
      ]),
    )
  })

  it('takes a scheduler and a tokenizer that it is given', async () => {
    const tokenizer = await makeFolder({ 'vocab.json': '{}', 'merges.txt': '' })
    const folder = await saveFrom(plain, {
      schedulerConfig: { _class_name: 'EulerDiscreteScheduler' },
      tokenizerFolder: tokenizer,
    })
    expect(await json(folder, 'scheduler/scheduler_config.json')).toEqual({
      _class_name: 'EulerDiscreteScheduler',
      prediction_type: 'v_prediction',
    })
    expect([...(await contents(join(folder, 'tokenizer'))).keys()]).toEqual(['merges.txt', 'vocab.json'])
    const empty = await failure(saveFrom(plain, { tokenizerFolder: join(tokenizer, 'none') }))
    expect(empty).toBeInstanceOf(ArgumentError)
  })

  it.each([
    ['1.x', tinySd1, '<|endoftext|>', 64, 768, false],
    ['2.x', tinySd2, '!', 64, 512, false],
    ['2.x with velocity', { ...tinySd2, predictionType: 'v_prediction' }, '!', 96, 512, true],
  ] as const)('without a source has the settings of %s', async (_name, config, pad, size, projection, upcast) => {
    const folder = join(await makeFolder(), 'model')
    const models = new StableDiffusion(config, () => randomWeights(3))
    await saveDiffusersFolder(folder, models)
    models.dispose()
    expect((await json(folder, 'tokenizer/special_tokens_map.json')).pad_token).toBe(pad)
    expect((await json(folder, 'tokenizer/tokenizer_config.json')).pad_token).toBe(pad)
    expect(await json(folder, 'unet/config.json')).toMatchObject({ sample_size: size, upcast_attention: upcast })
    expect((await json(folder, 'text_encoder/config.json')).projection_dim).toBe(projection)
    const vocabulary = await json(folder, 'tokenizer/vocab.json')
    expect(Object.keys(vocabulary)).toHaveLength(49408)
    expect(vocabulary['<|endoftext|>']).toBe(49407)
    expect((await readFile(join(folder, 'tokenizer/merges.txt'), 'utf8')).split('\n')).toHaveLength(48894 + 2)
    expect((await readDiffusersConfig(folder)).predictionType).toBe(config.predictionType)
  })

  it('has configurations as Python prints them', async () => {
    const text = await readFile(join(await saveFrom(plain), 'text_encoder/config.json'), 'utf8')
    expect(text.startsWith('{\n  "architectures": [\n    "CLIPTextModel"\n  ],\n  "attention_dropout": 0.0,\n')).toBe(
      true,
    )
    expect(text).toContain('  "layer_norm_eps": 1e-05,\n')
    expect(text.endsWith('\n}\n')).toBe(true)
  })
})

describe('saving over a folder', () => {
  it('replaces a model with all its weights, keeps what is no part of one, and leaves nothing beside it', async () => {
    const folder = await saveFrom(plain, { format: 'bin' })
    await addFiles(folder, { 'README.md': 'about it', 'unet/diffusion_pytorch_model.fp16.safetensors': 'old' })
    const models = await loadDiffusersFolder(folder)
    await saveDiffusersFolder(folder, models)
    models.dispose()
    expect([...(await contents(folder)).keys()]).toEqual(['README.md', ...completeFolder])
    expect(await readdir(dirname(folder))).toEqual([basename(folder)])
  })

  it('follows a link to the folder', async () => {
    const target = await saveFrom(plain)
    const link = join(await makeFolder(), 'link')
    await symlink(target, link)
    const models = await loadDiffusersFolder(plain)
    await saveDiffusersFolder(link, models, { precision: 'fp16' })
    models.dispose()
    expect((await json(target, 'text_encoder/config.json')).torch_dtype).toBe('float16')
  })

  it('refuses a folder of something else, and a file', async () => {
    const other = await makeFolder({ 'thesis.txt': 'years of work' })
    const models = await loadDiffusersFolder(plain)
    const error = await failure(saveDiffusersFolder(other, models))
    expect(error).toBeInstanceOf(IoError)
    expect(error.message).toContain('has no model_index.json')
    expect((await failure(saveDiffusersFolder(join(other, 'thesis.txt'), models))).message).toContain('there is a file')
    models.dispose()
    expect(await readdir(other)).toEqual(['thesis.txt'])
  })

  it('leaves the previous model as it was when a part cannot be written', async () => {
    const folder = await saveFrom(plain)
    const before = await contents(folder)
    const models = await loadDiffusersFolder(plain)
    models.vae.dispose()
    expect((await failure(saveDiffusersFolder(folder, models))).name).toBe('DisposedError')
    models.unet.dispose()
    models.textEncoder.dispose()
    expect(await contents(folder)).toEqual(before)
    expect(await readdir(dirname(folder))).toEqual([basename(folder)])
  })

  it('refuses formats and precisions that there are not', async () => {
    const models = await loadDiffusersFolder(plain)
    const folder = join(await makeFolder(), 'model')
    for (const options of [{ format: 'ckpt' }, { precision: 'fp8' }] as unknown as SaveFolderOptions[])
      expect(await failure(saveDiffusersFolder(folder, models, options))).toBeInstanceOf(ArgumentError)
    models.dispose()
  })
})
