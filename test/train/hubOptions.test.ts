import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { trainCommand } from '../../lib/cli/train.ts'
import { parseTraining } from '../../lib/train/options/parseTraining.ts'
import { comparedOptions } from '../../lib/train/state/comparedOptions.ts'
import { makeTestHost } from '../cli/testHost.ts'

const needed = '--pretrained_model_name_or_path model --output_dir out --dataset_config data.toml'
const parse = async (args: string) => parseTraining('train-network', `${needed} ${args}`.trim().split(/\s+/))

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noisewright-hub-options-'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('options of the hub', () => {
  it('become one block of the configuration', async () => {
    const more = '--huggingface_repo_type dataset --huggingface_path_in_repo runs --huggingface_repo_visibility PUBLIC'
    const states = '--save_state --save_state_to_huggingface --async_upload --huggingface_token hf_secret'
    const { config, notes } = await parse(`--huggingface_repo_id org/name ${more} ${states}`)
    expect(config.hub).toEqual({
      repository: 'org/name',
      type: 'dataset',
      folder: 'runs',
      visibility: 'public',
      states: true,
      background: true,
      token: 'hf_secret',
      resume: false,
    })
    expect(notes).toEqual([])
    expect((await parse('--huggingface_repo_id org/name')).config.hub).toMatchObject({
      type: 'model',
      visibility: 'private',
      states: false,
      background: false,
      token: null,
    })
    const resumed = await parse('--resume org/name/state:v1 --resume_from_huggingface --huggingface_token hf_secret')
    expect(resumed.config.hub).toMatchObject({ repository: null, resume: true, token: 'hf_secret' })
    expect(resumed.notes).toEqual([])
    expect((await parse('')).config).not.toHaveProperty('hub')
  })

  it('do not decide the result: a state may go on with others', async () => {
    const { config } = await parse('--huggingface_repo_id org/name --huggingface_token hf_secret')
    expect(comparedOptions(config)).toEqual(comparedOptions((await parse('')).config))
  })

  it.each([
    ['--resume_from_huggingface', '--resume_from_huggingface needs --resume, the folder of a repository'],
    [
      '--huggingface_repo_id a/b --save_state_to_huggingface',
      '--save_state_to_huggingface needs --save_state or --save_state_on_train_end',
    ],
    ['--huggingface_repo_visibility secret', 'must be one of private, public, found "secret"'],
    ['--huggingface_repo_type bucket', 'must be one of model, dataset, space, found "bucket"'],
  ])('are refused where they cannot be meant: %s', async (args, text) => {
    await expect(parse(args)).rejects.toThrow(text)
  })

  it.each([
    '--huggingface_repo_type model',
    '--huggingface_path_in_repo runs',
    '--huggingface_repo_visibility public',
    '--async_upload',
    '--save_state_to_huggingface --save_state',
  ])('have no effect without a repository, and a note says so: %s', async (args) => {
    const [name] = args.split(' ')
    expect((await parse(args)).notes).toEqual([`${name} has no effect without --huggingface_repo_id`])
  })

  it('that hold a token are noted where nothing needs it', async () => {
    expect((await parse('--huggingface_token hf_secret')).notes).toEqual([
      '--huggingface_token has no effect without --huggingface_repo_id or --resume_from_huggingface',
    ])
  })
})

describe('the token', () => {
  it('is not written by --output_config', async () => {
    const file = join(folder, 'written.toml')
    const args = `--huggingface_repo_id org/name --huggingface_token hf_secret --output_config --config_file ${file}`
    const host = makeTestHost()
    expect(await trainCommand('train-network', `${needed} ${args}`.split(' '), host)).toBe(0)
    const text = await readFile(file, 'utf8')
    expect(text).toContain('huggingface_repo_id = "org/name"')
    expect(text + host.stdout.text + host.stderr.text).not.toMatch(/hf_secret|huggingface_token/)
  })

  it.each([
    ['not in quotes', 'huggingface_token = hf_secret'],
    ['with a line that is none before', 'seed = = 1\nhuggingface_token = "hf_secret"'],
    ['in a list', 'huggingface_token = ["hf_secret"]'],
    ['twice', 'huggingface_token = "hf_secret"\n[a]\nhuggingface_token = "hf_secret"'],
  ])('is not shown where a file has it wrong: %s', async (what, line) => {
    const file = join(folder, `${what.replaceAll(' ', '-')}.toml`)
    await writeFile(file, `${line}\n`)
    const failed = parse(`--config_file ${file}`)
    await expect(failed).rejects.toThrow(file)
    await expect(failed).rejects.not.toThrow(/hf_secret/)
  })

  it.each(['--huggingface_tokn=hf_secret', '--huggingface_tokn hf_secret'])(
    'is not shown where its name is wrong: %s',
    async (args) => {
      const failed = parse(args)
      await expect(failed).rejects.toThrow(/Did you mean "--huggingface_token"/)
      await expect(failed).rejects.not.toThrow(/hf_secret/)
    },
  )

  it('is read from a file that has it right', async () => {
    const file = join(folder, 'right.toml')
    await writeFile(file, 'huggingface_token = "hf_secret"\nhuggingface_repo_id = "org/name"\n')
    expect((await parse(`--config_file ${file}`)).config.hub?.token).toBe('hf_secret')
  })
})
