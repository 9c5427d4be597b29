import { beforeEach, describe, expect, it, vi } from 'vitest'
import { demoCommand } from '../../lib/cli/demo.ts'
import { parseTraining } from '../../lib/train/parseTraining.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { fakeTrain } from './fakeTraining.ts'
import { makeTestHost } from './testHost.ts'

const prepareDemo = vi.hoisted(() => vi.fn())
vi.mock('../../lib/demo/demo.ts', () => ({ prepareDemo }))

const args = ['--pretrained_model_name_or_path', 'm', '--dataset_config', 'd.toml', '--output_dir', 'o']

beforeEach(() => {
  prepareDemo.mockReset()
})

describe('demo', () => {
  it('trains what was prepared, says how the loss fell, what was written, and what not to expect', async () => {
    const { config } = await parseTraining('train-network', args)
    prepareDemo.mockResolvedValue(config)
    const host = makeTestHost()
    const { train, configs } = fakeTrain()
    expect(await demoCommand({ folder: 'out/demo', epochs: 2, seed: 7, train }, host)).toBe(exitCodes.ok)
    expect(prepareDemo).toHaveBeenCalledWith('out/demo', { epochs: 2, seed: 7 })
    expect(configs).toEqual([config])
    expect(host.stdout.lines.slice(-6)).toEqual([
      'Written:',
      '  out/last.safetensors',
      '  out/sample/a.png',
      'Average loss: 1.0000 in the first epoch, 0.5000 in the last',
      expect.stringContaining('starts from random weights, so its pictures show nothing recognisable'),
      expect.any(String),
    ])
  })

  it('promises nothing when it is interrupted', async () => {
    prepareDemo.mockResolvedValue((await parseTraining('train-network', args)).config)
    const host = makeTestHost()
    const { train } = fakeTrain()
    const interrupted: typeof train = (kind, config, options) => {
      host.signals.emit('SIGINT')
      return train(kind, config, options)
    }
    await demoCommand({ folder: 'out/demo', train: interrupted }, host)
    expect(host.stdout.text).not.toContain('Written')
  })
})
