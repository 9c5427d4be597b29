import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseTraining } from '../../lib/train/options/parseTraining.ts'
import { needed, problemsOf } from './trainProblems.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noisewright-options-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function fileWith(text: string): Promise<string> {
  const file = join(folder, `${Math.random().toString(36).slice(2)}.toml`)
  await writeFile(file, text)
  return file
}

describe('the configuration file', () => {
  it('gives values in any table, and the command line wins over it', async () => {
    const file = await fileWith(`
      output_dir = "from file"
      [anything]
      pretrained_model_name_or_path = "m"
      train_data_dir = "t"
      resolution = 512
      learning_rate = 1.0
      lr_scheduler = "cosine"
      lr_warmup_steps = 0.1
      max_token_length = 150
      optimizer_args = ["eps=1e-7"]
      cache_latents = true
      flip_aug = false
      masked_loss = false
      skip_cache_check = false
      v2 = true
      v_parameterization = true
      vae = "v.pt"
      [more]
      seed = 3
    `)
    const { config } = await parseTraining('train-network', ['--config_file', file.replace('.toml', ''), '--seed', '4'])
    expect(config.output.folder).toBe('from file')
    expect(config.data).toMatchObject({ fallbacks: { resolution: [512, 512], flip_aug: false }, cacheLatents: true })
    expect(config.optimizer).toMatchObject({ learningRate: 1, arguments: { eps: 1e-7 }, warmupSteps: { share: 0.1 } })
    expect(config.training.seed).toBe(4)
    expect(config.model).toMatchObject({ maxTokenLength: 150, v2: true, vParameterization: true, vae: 'v.pt' })
  })

  it('is read strictly, and its problems join those of the command line', async () => {
    const file = await fileWith(
      '[a]\nnetwork_dimm = 4\nseed = "1"\nhighvram = true\nresolution = 1.5\n[b]\nflip_aug = 1\nseed = 2\nconfig_file = "x"\n',
    )
    expect(await problemsOf(...needed, '--config_file', file, '--clip_skip', '0')).toEqual([
      '--clip_skip must be a whole number of at least 1, found "0"',
      `${file}:2:1: unknown option "network_dimm". Did you mean "network_dim"?`,
      `${file}:3:1: "seed" must be a whole number from 0 to 4294967296, found "1"`,
      `${file}:4:1: highvram is not needed: memory is kept for reuse anyway`,
      `${file}:5:1: "resolution" must be one or two whole numbers ("512" or "512,768"), found "1.5"`,
      `${file}:7:1: "flip_aug" must be true or false, found 1`,
      `${file}:8:1: "seed" is given twice; remove one`,
      `${file}:9:1: "config_file" belongs on the command line`,
    ])
  })

  it('may turn switches off whatever else it says, and leave texts empty that ask for nothing', async () => {
    const file = await fileWith(`
      scale_v_pred_loss_like_noise_pred = false
      noise_offset_random_strength = false
      ip_noise_gamma_random_strength = false
      dim_from_weights = false
      resume_restart = false
      sample_at_first = false
      async_upload = false
      xformers = false
      v_parameterization = false
      wandb_api_key = ""
      log_prefix = ""
    `)
    expect((await parseTraining('train-network', [...needed, '--config_file', file])).notes).toEqual([])
    const other = await fileWith('vae = "v.pt"')
    const { config } = await parseTraining('train-network', [...needed, '--config_file', other, '--vae', ''])
    expect(config.model.vae).toBeNull()
    expect(await problemsOf(...needed, '--config_file', file, '--scale_v_pred_loss_like_noise_pred')).toEqual([
      '--scale_v_pred_loss_like_noise_pred needs --v_parameterization',
    ])
  })

  it('takes names of the language itself for unknown options', async () => {
    const file = await fileWith('"__proto__" = { seed = 1 }\n[constructor]\ntoString = 1\n')
    const problems = await problemsOf(...needed, '--config_file', file)
    expect(problems).toEqual([`${file}:3:1: unknown option "toString".`])
    expect(({} as Record<string, unknown>).seed).toBeUndefined()
  })

  it('that is missing or not TOML is an error that names it', async () => {
    expect(await problemsOf('--config_file', join(folder, 'none'))).toEqual([
      `${join(folder, 'none')}.toml: cannot read the configuration file: no such file: check --config_file`,
    ])
    const file = await fileWith('a = \n')
    expect((await problemsOf(...needed, '--config_file', file))[0]).toContain(`${file}:1:`)
  })
})
