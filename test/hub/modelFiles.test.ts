import { describe, expect, it } from 'vitest'
import { type ModelFilesOptions, modelFiles } from '../../lib/hub/modelFiles.ts'
import { CheckpointError } from '../../lib/util/errors.ts'
import { diffusersRepository, neededFiles } from './fakeHub.ts'

type Options = Partial<Omit<ModelFilesOptions, 'readText'>>

/** The choice among files given as a list, or as an object with their texts. */
function choose(files: readonly string[] | Readonly<Record<string, unknown>>, options: Options = {}) {
  const texts: Readonly<Record<string, unknown>> = Array.isArray(files) ? {} : (files as Record<string, unknown>)
  const paths = new Set(Array.isArray(files) ? files : Object.keys(files))
  const readText = async (path: string): Promise<string> => String(texts[path] ?? '{}')
  return modelFiles(paths, { id: 'org/name@main', kind: 'model', ...options, readText })
}

describe('the files of a diffusers repository', () => {
  const repository = diffusersRepository()

  it('are configuration, tokenizer and one set of weights of each part, the index of parts last', async () => {
    const { files, main, missing } = await choose(repository)
    expect([...files].sort()).toEqual(neededFiles)
    expect(files.at(-1)).toBe('model_index.json')
    expect({ main, missing }).toEqual({ main: '', missing: [] })
  })

  it('are those of a variant only where it is asked for and there', async () => {
    const { files } = await choose(repository, { variant: 'fp16' })
    const weights = files.filter((path) => /\.(safetensors|bin)$/.test(path))
    expect(weights.sort()).toEqual([
      'text_encoder/model.fp16.safetensors',
      'unet/diffusion_pytorch_model.fp16.safetensors',
      'vae/diffusion_pytorch_model.bin',
    ])
  })

  it('name what is missing, and the variants that are there instead', async () => {
    const paths = Object.keys(repository).filter(
      (path) => !/^unet\/diffusion_pytorch_model\.(safetensors|bin)$/.test(path),
    )
    const { missing } = await choose(paths.filter((path) => path !== 'vae/config.json'))
    expect(missing).toEqual([
      'vae/config.json',
      'unet/diffusion_pytorch_model.safetensors (there is only the variant fp16, non_ema; ask for it by name)',
    ])
  })

  it('are the shards that an index names', async () => {
    const shards = ['1', '2'].map((part) => `diffusion_pytorch_model-0000${part}-of-00002.safetensors`)
    const index = { weight_map: { 'a.weight': shards[0], 'b.weight': shards[1], 'c.weight': shards[1] } }
    const sharded: Record<string, unknown> = { ...repository }
    delete sharded['unet/diffusion_pytorch_model.safetensors']
    sharded['unet/diffusion_pytorch_model.safetensors.index.json'] = JSON.stringify(index)
    sharded[`unet/${shards[0]}`] = ''
    const half = await choose(sharded)
    expect(half.missing).toEqual([`unet/${shards[1]}`])
    sharded[`unet/${shards[1]}`] = ''
    const whole = await choose(sharded)
    expect(whole.missing).toEqual([])
    expect(whole.files.filter((path) => path.startsWith('unet/'))).toEqual([
      `unet/${shards[0]}`,
      `unet/${shards[1]}`,
      'unet/diffusion_pytorch_model.safetensors.index.json',
      'unet/config.json',
    ])
    sharded['unet/diffusion_pytorch_model.safetensors.index.json'] = '{"weight_map": {"a": "../../x.safetensors"}}'
    await expect(choose(sharded)).rejects.toThrow(
      /index.json: names "..\/..\/x.safetensors", expected a file beside it/,
    )
  })

  it('are refused for other families before anything large is downloaded', async () => {
    const index = '{"_class_name": "StableDiffusionXLPipeline", "text_encoder_2": ["transformers", "CLIP"]}'
    const xl = choose({ ...repository, 'model_index.json': index })
    await expect(xl).rejects.toThrow(/expected Stable Diffusion 1.x or 2.x, found "StableDiffusionXLPipeline"/)
    await expect(choose({ 'model_index.json': '[]' })).rejects.toThrow(
      /model_index.json: expected a JSON object, found/,
    )
    await expect(choose({ 'model_index.json': '<html>' })).rejects.toBeInstanceOf(CheckpointError)
  })
})

describe('the checkpoint of another repository', () => {
  it('is the only one at its root, as safetensors where there are both', async () => {
    expect((await choose(['README.md', 'model.ckpt', 'old/x.ckpt'])).main).toBe('model.ckpt')
    expect((await choose(['model.ckpt', 'model.safetensors'])).files).toEqual(['model.safetensors'])
  })

  it('has to be named where there are several', async () => {
    await expect(choose(['a.safetensors', 'b.ckpt'])).rejects.toThrow(
      /several checkpoints: a.safetensors, b.ckpt. Name one: org\/name\/a.safetensors/,
    )
    expect(await choose(['a.safetensors', 'sub/b.ckpt'], { file: 'sub/b.ckpt' })).toEqual({
      files: ['sub/b.ckpt'],
      main: 'sub/b.ckpt',
      missing: [],
    })
    await expect(choose(['model.safetensors'], { file: 'modle.safetensors' })).rejects.toThrow(
      /no file modle.safetensors. Did you mean "model.safetensors"\?/,
    )
  })

  it('is not a part of a model, and not nothing', async () => {
    const vae = choose(['config.json', 'diffusion_pytorch_model.safetensors'])
    await expect(vae).rejects.toThrow(/one part of a model, such as a VAE/)
    await expect(choose(['README.md', 'unet/x.bin'])).rejects.toThrow(
      /expected model_index.json, .* found README.md, unet\//,
    )
  })
})

describe('the files of a VAE', () => {
  it('are at the root or in vae/', async () => {
    const root = await choose(['config.json', 'diffusion_pytorch_model.bin', 'x.ckpt'], { kind: 'vae' })
    expect(root).toEqual({ files: ['diffusion_pytorch_model.bin', 'config.json'], main: '', missing: [] })
    const inside = await choose(Object.keys(diffusersRepository()), { kind: 'vae' })
    expect(inside).toEqual({ files: ['vae/diffusion_pytorch_model.bin', 'vae/config.json'], main: 'vae', missing: [] })
  })

  it('are a checkpoint where there is no configuration', async () => {
    expect((await choose(['vae-ft-mse.ckpt', 'vae-ft-mse.safetensors'], { kind: 'vae' })).main).toBe(
      'vae-ft-mse.safetensors',
    )
  })
})
