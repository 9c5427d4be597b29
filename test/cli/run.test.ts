import { readFile } from 'node:fs/promises'
import { describe, expect, it, vi } from 'vitest'
import { run } from '../../lib/cli/run.ts'
import { trainOptionsOf } from '../../lib/config/trainOptions.ts'
import { DataError, exitCodes } from '../../lib/util/errors.ts'
import { makeTestHost } from './testHost.ts'

const behaviour = vi.hoisted(() => ({ error: undefined as unknown }))
vi.mock('../../lib/train/train.ts', () => ({
  train: (): never => {
    throw behaviour.error
  },
}))

const needed = ['--pretrained_model_name_or_path', 'm', '--train_data_dir', 'd', '--output_dir', 'out']

async function runWith(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const host = makeTestHost()
  const code = await run(args, host)
  return { code, out: host.stdout.text, err: host.stderr.text }
}

describe('the command line', () => {
  it('shows its commands and exit codes with --help', async () => {
    const { code, out, err } = await runWith('--help')
    expect(code).toBe(exitCodes.ok)
    expect(err).toBe('')
    for (const word of ['train-network', 'demo', ...Object.values(exitCodes).map(String)]) expect(out).toContain(word)
  })

  it('shows every option of train-network with --help', async () => {
    const { code, out } = await runWith('train-network', '--help')
    expect(code).toBe(exitCodes.ok)
    for (const name of trainOptionsOf('train-network').keys()) expect(out).toContain(`--${name}`)
  })

  it("shows the package's version", async () => {
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
    expect(await runWith('--version')).toEqual({ code: exitCodes.ok, out: `${version}\n`, err: '' })
  })

  it.each([
    [[], 'Usage: noisewright'],
    [['train-netwrk'], 'Did you mean train-network?'],
    [['--verbose'], "unknown option '--verbose'"],
    [['demo', '--steps', 'many'], 'Expected a whole number'],
    [['demo', '--method', 'lroa'], 'Allowed choices are lora'],
    [['train-network', '--seed', 'x'], '--seed must be a whole number'],
    [['train-network', '--version'], 'unknown option "--version"'],
    [['train-network', 'word'], 'unexpected argument "word"'],
  ])('refuses %j with the code of wrong usage', async (args, message) => {
    const { code, out, err } = await runWith(...args)
    expect(code).toBe(exitCodes.usage)
    expect(out).toBe('')
    expect(err).toContain(message)
    expect(err).not.toMatch(/\n\s+at /)
  })

  it('hands every argument over as it was written', async () => {
    const args = ['--network-dimm=4', '--noise_offset', '-0.1', '--optimizer_args', 'eps=x', 'a=b', '--flip_aug']
    const { err } = await runWith('train-network', ...needed, ...args)
    expect(err.split('\n')).toEqual([
      'error: unknown option "--network-dimm". Did you mean "--network_dim"?',
      `--optimizer_args: the value of eps: expected a value at character 1, found "x"; a text needs quotes: 'x'`,
      expect.stringContaining('--optimizer_args: the value of a: '),
      '',
    ])
  })

  it('shows one message without a stack for an error of ours, and returns its code', async () => {
    behaviour.error = new DataError('pictures', 'no such folder')
    const { code, err } = await runWith('train-network', ...needed)
    expect(code).toBe(exitCodes.data)
    expect(err).toBe('error: pictures: no such folder\n')
  })

  it('shows the stack of an error that nobody expected', async () => {
    behaviour.error = new TypeError('x is undefined')
    const { code, err } = await runWith('train-network', ...needed)
    expect(code).toBe(exitCodes.unexpected)
    expect(err).toMatch(/TypeError: x is undefined\n\s+at /)
  })
})
