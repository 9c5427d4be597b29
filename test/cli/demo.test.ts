import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { demoCommand } from '../../lib/cli/demo.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { fakeTrain } from './fakeTraining.ts'
import { makeTestHost } from './testHost.ts'

const prepareDemo = vi.hoisted(() => vi.fn())
const writeDemoPage = vi.hoisted(() => vi.fn())
vi.mock('../../lib/demo/demo.ts', () => ({ prepareDemo }))
vi.mock('../../lib/demo/page.ts', () => ({ writeDemoPage }))

const plan = { trainer: 'train-network', configFile: '', prompts: [{ prompt: 'a frog', example: null }] }
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noisewright-demo-command-'))
  const configFile = join(folder, 'train.toml')
  await writeFile(configFile, 'pretrained_model_name_or_path = "m"\ndataset_config = "d.toml"\noutput_dir = "o"\n')
  prepareDemo.mockReset().mockResolvedValue({ ...plan, configFile })
  writeDemoPage.mockReset().mockResolvedValue(['demo.png', 'demo.html'])
})
afterEach(() => rm(folder, { recursive: true }))

describe('demo', () => {
  it('trains what was prepared, and shows what was drawn and how the loss fell', async () => {
    const host = makeTestHost()
    const { train, configs } = fakeTrain()
    expect(await demoCommand({ folder: 'out/demo', method: 'lora', seed: 7, train }, host)).toBe(exitCodes.ok)
    expect(prepareDemo).toHaveBeenCalledWith('out/demo', { method: 'lora', seed: 7 })
    expect(configs.map(({ model }) => model.path)).toEqual(['m'])
    const [at, shown] = writeDemoPage.mock.lastCall!
    expect(at).toBe(resolve('out/demo'))
    expect(shown).toMatchObject({
      command: 'train-network',
      prompts: plan.prompts,
      previews: [{ path: 'out/sample/a.png' }],
    })
    expect(shown.chart).toContain('<polyline')
    expect(host.stdout.lines.slice(-5)).toEqual([
      'Written:',
      '  out/last.safetensors',
      '  out/demo/train.toml',
      '  demo.png',
      '  demo.html',
    ])
  })

  it('promises nothing when it is interrupted', async () => {
    const host = makeTestHost()
    const { train } = fakeTrain()
    const interrupted: typeof train = (kind, config, options) => {
      host.signals.emit('SIGINT')
      return train(kind, config, options)
    }
    await demoCommand({ folder: 'out/demo', train: interrupted }, host)
    expect(host.stdout.text).not.toContain('Written')
    expect(writeDemoPage).not.toHaveBeenCalled()
  })
})
