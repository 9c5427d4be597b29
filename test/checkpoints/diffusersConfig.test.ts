import { cp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { type ReadDiffusersConfigOptions, readDiffusersConfig } from '../../lib/checkpoints/diffusersConfig.ts'
import { sd1, sd2 } from '../../lib/models/stableDiffusion/config.ts'
import { CheckpointError, IoError } from '../../lib/util/errors.ts'
import { addFiles, makeFolder } from '../support/pictures.ts'

const plain = fileURLToPath(new URL('../fixtures/diffusers_folder/plain', import.meta.url))
const unet = 'unet/config.json'
const text = 'text_encoder/config.json'
const vae = 'vae/config.json'
const scheduler = 'scheduler/scheduler_config.json'

/** A copy of the fixture with keys of one configuration file changed; undefined removes a key. */
async function withKeys(file: string, keys: Readonly<Record<string, unknown>>): Promise<string> {
  const folder = join(await makeFolder(), 'model')
  await cp(plain, folder, { recursive: true })
  const values = JSON.parse(await readFile(join(folder, file), 'utf8').catch(() => '{}')) as object
  await addFiles(folder, { [file]: JSON.stringify({ ...values, ...keys }) })
  return folder
}

const refusal = async (folder: string, options: ReadDiffusersConfigOptions = {}): Promise<Error> =>
  readDiffusersConfig(folder, options).then(
    () => new Error('it was read'),
    (error: unknown) => error as Error,
  )

describe('the configuration of a diffusers folder', () => {
  it.each([
    [unet, 'in_channels', 9, 'this is an inpainting model, which is not supported'],
    [unet, 'in_channels', 5, 'this is a depth-to-image model'],
    [unet, 'in_channels', 6, 'must be 4, the channels of the latents, found 6'],
    [unet, 'out_channels', 8, 'must be 4, the channels of the latents, found 8'],
    [unet, 'act_fn', 'gelu', 'must be "silu" or "swish", the only form computed here, found "gelu"'],
    [unet, 'norm_eps', 1e-6, 'must be 0.00001'],
    [unet, 'class_embed_type', 'timestep', 'must be null'],
    [unet, 'addition_embed_type', 'text_time', '"text_time" is Stable Diffusion XL'],
    [unet, 'only_cross_attention', [true, false], 'must be false'],
    [unet, 'dual_cross_attention', true, 'must be false'],
    [unet, 'resnet_time_scale_shift', 'scale_shift', 'must be "default"'],
    [unet, 'mid_block_type', null, 'must be "UNetMidBlock2DCrossAttn"'],
    [unet, 'transformer_layers_per_block', [1, 2], 'Stable Diffusion XL has more'],
    [unet, 'time_cond_proj_dim', 256, 'latent consistency models have it'],
    [unet, 'num_class_embeds', 1000, 'upscalers have it'],
    [unet, 'flip_sin_to_cos', false, 'must be true'],
    [unet, '_class_name', 'UNet3DConditionModel', 'must be "UNet2DConditionModel"'],
    [unet, 'upcast_attention', 'yes', 'must be true or false'],
    [unet, 'use_linear_projection', 1, 'must be true or false'],
    [unet, 'attention_head_dim', [1, 3], 'must be the number of heads of each level, dividing its channels [4,8]'],
    [unet, 'attention_head_dim', [1], 'must be the number of heads of each level'],
    [unet, 'norm_num_groups', 3, 'must be a divisor of all channels [4,8]'],
    [unet, 'layers_per_block', 1e9, 'must be a whole number from 1 to 64'],
    [unet, 'layers_per_block', [1, 2], 'must be a whole number from 1 to 64'],
    [unet, 'block_out_channels', [4, 2 ** 40], 'must be a list of 1 to 8 whole numbers from 1 to 65536'],
    [unet, 'block_out_channels', [], 'must be a list of 1 to 8 whole numbers'],
    [unet, 'down_block_types', ['DownBlock2D', 'DownBlock2D'], 'must be [CrossAttnDownBlock2D, DownBlock2D]'],
    [unet, 'up_block_types', 'UpBlock2D', 'must be [UpBlock2D, CrossAttnUpBlock2D]'],
    [unet, 'cross_attention_dim', 16, 'must be the "hidden_size" of text_encoder/config.json, 8'],
    [text, 'hidden_act', 'relu', 'must be quick_gelu or gelu'],
    [text, 'model_type', 't5', 'must be "clip_text_model"'],
    [text, 'layer_norm_eps', 1e-6, 'must be 0.00001'],
    [text, 'num_hidden_layers', 4e9, 'must be a whole number from 1 to 64'],
    [text, 'num_attention_heads', 3, 'must be a divisor of "hidden_size", 8'],
    [vae, '_class_name', 'AsymmetricAutoencoderKL', 'must be "AutoencoderKL"'],
    [vae, 'use_quant_conv', false, 'must be true'],
    [vae, 'latents_mean', [0.1], 'must be null'],
    [vae, 'scaling_factor', 0, 'must be above 0'],
    [vae, 'down_block_types', ['DownEncoderBlock2D', 'AttnDownEncoderBlock2D'], 'must be [DownEncoderBlock2D'],
    [scheduler, 'prediction_type', 'sample', 'must be epsilon or v_prediction'],
  ])('is refused when %s has %s %j', async (file, key, value, message) => {
    const folder = await withKeys(file, { [key]: value })
    const error = await refusal(folder)
    expect(error).toBeInstanceOf(CheckpointError)
    expect(error.message.startsWith(`${join(folder, file)}: "${key}" must be `)).toBe(true)
    expect(error.message).toContain(message)
  })

  it('may leave out everything that has a default, and have other spellings of the same', async () => {
    const folder = await withKeys(unet, {
      act_fn: 'swish',
      only_cross_attention: [false, false],
      transformer_layers_per_block: [1, 1],
      norm_eps: undefined,
      mid_block_type: undefined,
      down_block_types: undefined,
      up_block_types: undefined,
      attention_head_dim: 2,
    })
    expect((await readDiffusersConfig(folder)).unet.heads).toEqual([2, 2])
  })

  it('has settings that nothing here knows noted, not refused', async () => {
    const folder = await withKeys(unet, { shiny_new_thing: 3 })
    const { origin } = await readDiffusersConfig(folder)
    expect(origin?.notes).toEqual([`${join(folder, unet)}: "shiny_new_thing" is not known here and was ignored`])
  })

  it('has a schedule that training does not use noted', async () => {
    const { origin } = await readDiffusersConfig(await withKeys(scheduler, { beta_end: 0.02 }))
    expect(origin?.notes).toHaveLength(1)
    expect(origin?.notes[0]).toContain('"beta_end" is 0.02; training uses 0.012')
  })

  it.each([
    ['StableDiffusionXLPipeline', 'found Stable Diffusion XL ("StableDiffusionXLPipeline"), which is not supported'],
    ['StableDiffusion3Pipeline', 'found Stable Diffusion 3 ('],
    ['StableDiffusionInpaintPipeline', 'found Stable Diffusion for inpainting ('],
    ['FluxPipeline', 'found FLUX ('],
    ['MysteryPipeline', 'found a pipeline "MysteryPipeline"'],
  ])('is refused by the name of its family when the index says %s', async (name, message) => {
    const folder = await withKeys('model_index.json', { _class_name: name })
    const error = await refusal(folder)
    expect(error).toBeInstanceOf(CheckpointError)
    const place = join(folder, 'model_index.json')
    expect(error.message).toContain(`${place}: expected Stable Diffusion 1.x or 2.x, ${message}`)
  })

  it.each([
    ['text_encoder_2', 'this is Stable Diffusion XL or 3, not supported'],
    ['transformer', 'this is a diffusion transformer'],
  ])('is refused without an index when there is a folder %s', async (name, message) => {
    const folder = await withKeys(`${name}/config.json`, {})
    expect((await refusal(folder)).message).toContain(message)
  })

  it('is that of a model which predicts noise when 1.x has no scheduler, and says so', async () => {
    const folder = await withKeys(text, { hidden_act: 'quick_gelu' })
    await rm(join(folder, scheduler))
    const config = await readDiffusersConfig(folder)
    expect(config).toMatchObject({ version: 1, predictionType: 'epsilon', origin: { predictionTypeFrom: 'assumed' } })
    expect(config.origin?.notes[0]).toContain('the model is taken to predict noise (epsilon)')
    const told = await readDiffusersConfig(folder, { predictionType: 'v_prediction' })
    expect(told).toMatchObject({ predictionType: 'v_prediction', origin: { predictionTypeFrom: 'caller', notes: [] } })
  })

  it('is refused when 2.x has no scheduler, unless the prediction type is given', async () => {
    const folder = await withKeys(unet, {})
    await rm(join(folder, scheduler))
    expect((await refusal(folder)).message).toContain('copy that file too, or say which one this is')
    expect((await readDiffusersConfig(folder, { predictionType: 'epsilon' })).predictionType).toBe('epsilon')
  })

  it('is the scheduler’s word against the caller’s', async () => {
    const { predictionType, origin } = await readDiffusersConfig(plain, { predictionType: 'epsilon' })
    expect([predictionType, origin?.predictionTypeFrom]).toEqual(['v_prediction', 'scheduler'])
  })
})

/** The keys and values of the published models of 2022, without the names of the makers' folders. */
const published = {
  'Stable Diffusion 1.5': {
    unet: { attention_head_dim: 8, cross_attention_dim: 768, sample_size: 64 },
    text: {
      hidden_act: 'quick_gelu',
      hidden_size: 768,
      intermediate_size: 3072,
      num_attention_heads: 12,
      num_hidden_layers: 12,
      projection_dim: 768,
    },
    scheduler: { _class_name: 'PNDMScheduler' },
    expected: sd1,
  },
  'Stable Diffusion 2.1': {
    unet: {
      attention_head_dim: [5, 10, 20, 20],
      cross_attention_dim: 1024,
      dual_cross_attention: false,
      num_class_embeds: null,
      only_cross_attention: false,
      sample_size: 96,
      upcast_attention: true,
      use_linear_projection: true,
    },
    text: {
      hidden_act: 'gelu',
      hidden_size: 1024,
      intermediate_size: 4096,
      num_attention_heads: 16,
      num_hidden_layers: 23,
      projection_dim: 512,
    },
    scheduler: { _class_name: 'DDIMScheduler', prediction_type: 'v_prediction' },
    expected: { ...sd2, predictionType: 'v_prediction' },
  },
} as const

describe('the configuration of a published model', () => {
  it.each(Object.entries(published))('of %s gives its sizes', async (_name, model) => {
    const folder = await makeFolder({
      [unet]: JSON.stringify({
        _class_name: 'UNet2DConditionModel',
        _diffusers_version: '0.6.0',
        act_fn: 'silu',
        block_out_channels: [320, 640, 1280, 1280],
        center_input_sample: false,
        down_block_types: [...Array(3).fill('CrossAttnDownBlock2D'), 'DownBlock2D'],
        downsample_padding: 1,
        flip_sin_to_cos: true,
        freq_shift: 0,
        in_channels: 4,
        layers_per_block: 2,
        mid_block_scale_factor: 1,
        norm_eps: 1e-5,
        norm_num_groups: 32,
        out_channels: 4,
        up_block_types: ['UpBlock2D', ...Array(3).fill('CrossAttnUpBlock2D')],
        ...model.unet,
      }),
      [text]: JSON.stringify({
        architectures: ['CLIPTextModel'],
        attention_dropout: 0,
        bos_token_id: 0,
        dropout: 0,
        eos_token_id: 2,
        initializer_factor: 1,
        initializer_range: 0.02,
        layer_norm_eps: 1e-5,
        max_position_embeddings: 77,
        model_type: 'clip_text_model',
        pad_token_id: 1,
        torch_dtype: 'float32',
        transformers_version: '4.22.0',
        vocab_size: 49408,
        ...model.text,
      }),
      [vae]: JSON.stringify({
        _class_name: 'AutoencoderKL',
        act_fn: 'silu',
        block_out_channels: [128, 256, 512, 512],
        in_channels: 3,
        latent_channels: 4,
        down_block_types: Array(4).fill('DownEncoderBlock2D'),
        layers_per_block: 2,
        norm_num_groups: 32,
        out_channels: 3,
        sample_size: 512,
        up_block_types: Array(4).fill('UpDecoderBlock2D'),
      }),
      [scheduler]: JSON.stringify({
        beta_end: 0.012,
        beta_schedule: 'scaled_linear',
        beta_start: 0.00085,
        clip_sample: false,
        num_train_timesteps: 1000,
        set_alpha_to_one: false,
        skip_prk_steps: true,
        steps_offset: 1,
        trained_betas: null,
        ...model.scheduler,
      }),
      'model_index.json': '{"_class_name": "StableDiffusionPipeline"}',
    })
    const { origin, ...config } = await readDiffusersConfig(folder)
    expect({ ...config, name: model.expected.name }).toEqual(model.expected)
    expect(origin?.notes).toEqual([])
  })
})

describe('a hostile configuration file', () => {
  it.each([
    ['far too large', ' '.repeat(2 ** 20 + 1), 'expected a file of at most 1048576 bytes, found 1048577'],
    ['nested without end', '['.repeat(2 ** 19) + ']'.repeat(2 ** 19), 'more than 32 deep inside each other'],
    ['not text', Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), 'expected a JSON object'],
    ['a web page', '<!DOCTYPE html><html>', 'expected a JSON object'],
    ['empty', '', 'expected a JSON object'],
  ])('that is %s is refused', async (_what, content, message) => {
    const folder = await withKeys(unet, {})
    await addFiles(folder, { [unet]: content })
    const error = await refusal(folder)
    expect(error).toBeInstanceOf(CheckpointError)
    expect((error as CheckpointError).path).toBe(join(folder, unet))
    expect(error.message).toContain(message)
    expect(error.message.length).toBeLessThan(400)
  })

  it('cannot give members to other objects', async () => {
    const folder = await withKeys(unet, {})
    const original = (await readFile(join(folder, unet), 'utf8')).trim().slice(1)
    await addFiles(folder, { [unet]: `{"__proto__": {"sample_size": 3, "polluted": true}, ${original}` })
    const { origin } = await readDiffusersConfig(folder)
    expect(origin?.configs.get(unet)?.get('sample_size')).toBe(96)
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })

  it('that is a folder is refused', async () => {
    const folder = await withKeys(`${unet}.d/x`, {})
    await rm(join(folder, vae))
    await addFiles(folder, { [`${vae}/x`]: '' })
    const error = await refusal(folder)
    expect(error instanceof IoError || error instanceof CheckpointError).toBe(true)
    expect(error.message).toContain('expected a regular file')
  })
})
