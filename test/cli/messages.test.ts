import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Messages } from '../../lib/cli/messages.ts'
import { showTraining, type Train } from '../../lib/cli/showTraining.ts'
import { trainCommand } from '../../lib/cli/train.ts'
import { networkTraining } from '../../lib/train/methods/trainNetwork.ts'
import { parseTraining } from '../../lib/train/options/parseTraining.ts'
import { exitCodes, IoError } from '../../lib/util/errors.ts'
import { fakeEvents } from './fakeTraining.ts'
import { makeTestHost } from './testHost.ts'

const train: Train = (_kind, _config, { signal }) => fakeEvents(signal)
const needed = ['--pretrained_model_name_or_path', 'm', '--dataset_config', 'data.toml', '--output_dir', 'out/frog']

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noisewright-messages-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function told(...args: string[]) {
  const host = makeTestHost()
  expect(await trainCommand('train-network', [...needed, '--xformers', ...args], host, { train })).toBe(exitCodes.ok)
  return host
}

describe('the messages of a training', () => {
  it('are notes, reports and warnings, or those of a level and worse', async () => {
    const warning = 'warning: two pictures have no caption\n'
    const everything = await told()
    expect(everything.stderr.text).toContain('note: --xformers changes nothing')
    expect(everything.stderr.text).toContain(warning)
    expect(everything.stdout.text).toContain('finished after 4 steps')
    expect((await told('--console_log_level', 'debug')).stdout.text).toBe(everything.stdout.text)
    const warnings = await told('--console_log_level', 'WARNING')
    expect(warnings.stderr.text).toContain(warning)
    expect(warnings.stderr.text).not.toContain('note:')
    expect(warnings.stdout.text).toBe('')
    const errors = await told('--console_log_level', 'CRITICAL')
    expect(errors.stderr.text).not.toContain('warning:')
    expect(errors.stderr.text).toContain('step 4/4') // progress
  })

  it('go into a file in place of the console, which they replace', async () => {
    const file = join(folder, 'below', 'messages.txt')
    for (const more of [[], ['--console_log_level', 'WARNING']]) {
      const host = await told('--console_log_file', file, ...more)
      expect(host.stdout.text).toBe('')
      expect(host.stderr.text).not.toMatch(/note:|warning:/)
      expect(host.stderr.text).toContain('step 4/4')
    }
    expect(await readFile(file, 'utf8')).toBe('warning: two pictures have no caption\n')
  })

  it('need a file that can be made', async () => {
    await writeFile(join(folder, 'file'), '')
    const args = [...needed, '--console_log_file', join(folder, 'file', 'below')]
    await expect(trainCommand('train-network', args, makeTestHost(), { train })).rejects.toThrow(IoError)
  })

  it('stop no training when their file fails', async () => {
    const host = makeTestHost()
    const { config } = await parseTraining('train-network', needed)
    const messages = await Messages.open(host, { file: join(folder, 'closed') })
    await messages.close()
    expect(await showTraining(networkTraining, config, host, { train, messages })).toBe(exitCodes.ok)
    await messages.close()
    expect(host.stderr.text.match(/warning: messages are missing in the file/g)).toHaveLength(1)
  })
})

describe('the options in force', () => {
  it('are logged where that is asked for, without folders and secrets', async () => {
    const args = ['--log_config', '--logging_dir', 'logs', '--huggingface_token', 'hf_x', '--resolution', '512,768']
    const { config, notes } = await parseTraining('train-network', [
      ...needed,
      ...args,
      '--lr_scheduler',
      'cosine',
      '--lr_warmup_steps',
      '10%',
    ])
    const { options } = config.logging
    expect(options).toMatchObject({
      ...{
        max_train_steps: 1600,
        resolution: '512,768',
        lr_warmup_steps: '10%',
        seed: null,
        dataset_config: 'data.toml',
      },
      ...{ optimizer_args: null, save_state: false },
    })
    for (const name of ['huggingface_token', 'output_dir', 'pretrained_model_name_or_path', 'logging_dir', 'xformers'])
      expect(options).not.toHaveProperty(name)
    expect(notes.join()).not.toContain('log_config')
    const without = await parseTraining('train-network', [...needed, '--log_config'])
    expect(without.notes).toEqual(['--log_config has no effect without --logging_dir or --log_webhook'])
    expect((await parseTraining('train-network', needed)).config.logging.options).toBeUndefined()
  })
})
