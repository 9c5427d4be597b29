import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { trainCommand } from '../../lib/cli/train.ts'
import { readOutputConfig } from '../../lib/config/outputConfig.ts'
import { readTrainConfigFile } from '../../lib/config/trainConfigFile.ts'
import { readTrainArguments } from '../../lib/config/trainOptions.ts'
import { makeTestHost } from '../cli/testHost.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noisewright-output-config-'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('--output_config', () => {
  it('writes the options that differ from their defaults, which are read back as they were given', async () => {
    const options = `--train_data_dir C:\\pictures --resolution 512,768 --flip_aug --learning_rate 1e-7 --unet_lr 1
      --lr_warmup_steps 10% --optimizer_args eps=1e-6 weight_decay=0 --face_crop_aug_range 1,2.5 --max_token_length 150
      --caption_separator ; --seed 7`.split(/\s+/)
    const atDefault = ['--train_batch_size', '1', '--keep_tokens', '0', '--max_grad_norm', '1.0']
    const file = join(folder, 'written')
    const host = makeTestHost()
    const args = [...options, ...atDefault, '--config_file', file, '--output_config']
    expect(await trainCommand('train-network', args, host)).toBe(0)
    expect(host.stdout.lines).toEqual([`saved ${file}.toml`])
    const text = await readFile(`${file}.toml`, 'utf8')
    expect(text).not.toMatch(/batch|keep_tokens|grad|config/)
    expect(text).toContain('resolution = "512,768"')
    const { given, problems } = await readTrainConfigFile(file, 'train-network')
    expect(problems).toEqual([])
    expect(given).toEqual(readTrainArguments(options, 'train-network').given)
  })

  it('is nothing when it is not given', async () => {
    expect(await readOutputConfig(['--config_file', 'x', '--sede', '1'], 'train-network')).toBeUndefined()
  })

  it('writes nothing wrong, and over nothing', async () => {
    const file = join(folder, 'there.toml')
    await writeFile(file, '')
    const run = (...args: readonly string[]): Promise<unknown> =>
      readOutputConfig(['--output_config', ...args], 'train-network')
    await expect(run('--config_file', file)).rejects.toThrow(/there\.toml: --output_config does not replace a file/)
    await expect(run('--seed', '1')).rejects.toThrow('--output_config needs --config_file')
    await expect(run('--seed', 'x', '--config_file', join(folder, 'new'))).rejects.toThrow('--seed must be')
  })
})
