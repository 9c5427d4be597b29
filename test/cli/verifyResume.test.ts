import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it, vi } from 'vitest'
import { run } from '../../lib/cli/run.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { makeFolder } from '../support/pictures.ts'
import { makeTinyData, saveTinyModel } from '../support/tinyTraining.ts'
import { makeTinyMetadata } from '../support/tinyTrainings.ts'
import { makeTestHost } from './testHost.ts'

it.each([
  ['train-network', [], makeTinyData, ['--network_dropout', '0.1', '--cache_latents']],
  ['fine-tune', ['fine-tune'], makeTinyMetadata, ['--cache_latents', '--learning_rate', '1e-4']],
] as const)(
  'verify-resume compares %s at once and in two runs, and leaves nothing behind',
  async (_name, trainer, makeData, more) => {
    const folder = join(await makeFolder(), 'out')
    const model = ['--pretrained_model_name_or_path', await saveTinyModel()]
    const args = [
      ...model,
      '--dataset_config',
      await makeData(),
      '--output_dir',
      folder,
      '--optimizer_type',
      'AdamW',
      ...more,
    ]
    const host = makeTestHost()
    const baseline = await baselineBuffers()
    const code = await run(['verify-resume', '--steps', '2', ...trainer, ...args], host)
    expect(code, host.stderr.text).toBe(exitCodes.ok)
    expect(host.stdout.text).toMatch(
      /^the same bits in all \d+ tensors: 2 steps at once, and in two runs with a state after step 1\n$/,
    )
    expect(host.stderr.lines.map((line) => line.slice(0, 12))).toEqual(['step 1 of 2:', 'step 2 of 2:', 'step 2 of 2:'])
    await expect(readdir(folder)).rejects.toThrow('ENOENT')
    expect(await liveBuffers()).toBe(baseline)
  },
)

it('verify-resume ends after the step under way when it is interrupted, and leaves nothing behind', async () => {
  const host = makeTestHost()
  const [model, data, temporary] = [await saveTinyModel(), await makeTinyData(), await makeFolder()]
  const args = [
    '--pretrained_model_name_or_path',
    model,
    '--dataset_config',
    data,
    '--output_dir',
    'none',
    '--cache_latents',
  ]
  vi.stubEnv('TMPDIR', temporary)
  const write = host.stderr.write.bind(host.stderr)
  host.stderr.write = (text: string) => {
    if (text.startsWith('step 1 ')) host.signals.emit('SIGINT')
    return write(text)
  }
  const baseline = await baselineBuffers()
  expect(await run(['verify-resume', ...args], host)).toBe(exitCodes.interrupted)
  vi.unstubAllEnvs()
  expect(host.stderr.lines.filter((line) => line.startsWith('step '))).toHaveLength(1)
  expect(host.stdout.text).toBe('')
  expect(host.signals.listenerCount('SIGINT')).toBe(0)
  expect(await readdir(temporary)).toEqual([])
  expect(await liveBuffers()).toBe(baseline)
})

it('verify-resume refuses fewer than two steps, and options that a training refuses', async () => {
  const host = makeTestHost()
  const needed = ['--pretrained_model_name_or_path', 'm', '--dataset_config', 'd.toml', '--output_dir', 'o']
  expect(await run(['verify-resume', '--steps', '1', ...needed], host)).toBe(exitCodes.usage)
  expect(host.stderr.text).toContain('steps must be a whole number of 2 or more')
  expect(await run(['verify-resume', ...needed, '--max_train_step', '1'], host)).toBe(exitCodes.usage)
})
