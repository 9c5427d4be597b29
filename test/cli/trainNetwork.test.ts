import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { run } from '../../lib/cli/run.ts'
import type { Train } from '../../lib/cli/showTraining.ts'
import { trainCommand } from '../../lib/cli/train.ts'
import { readKohyaLora } from '../../lib/networks/kohyaLora.ts'
import { train as trainFrom } from '../../lib/train/train.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { fillingDisk } from '../support/faultyDisk.ts'
import { makeFolder } from '../support/pictures.ts'
import { makeTinyData, saveTinyModel } from '../support/tinyTraining.ts'
import { fakeEvents, fakeTrain } from './fakeTraining.ts'
import { makeTestHost } from './testHost.ts'

const needed = ['--pretrained_model_name_or_path', 'm', '--dataset_config', 'data.toml', '--output_dir', 'out']

function cursorIsVisible(text: string): boolean {
  return text.lastIndexOf('\x1b[?25h') >= text.lastIndexOf('\x1b[?25l')
}

describe('train-network', () => {
  it('reports results on stdout and how it goes on stderr, in plain lines without a terminal', async () => {
    const host = makeTestHost()
    const { train, configs } = fakeTrain()
    expect(await trainCommand('train-network', [...needed, '--xformers', '--seed=7'], host, { train })).toBe(
      exitCodes.ok,
    )
    expect(configs[0]).toMatchObject({ training: { seed: 7 } })
    expect(host.stdout.lines).toEqual([
      'dataset 0',
      'training 12,345 parameters in 264 modules: 4 steps in 2 epochs of 2 batches, seed 7',
      'epoch 1: average loss 1.0000',
      'epoch 2: average loss 0.5000',
      'saved out/last.safetensors (1.5 KiB)',
      'drew out/sample/a.png (a frog)',
      'finished after 4 steps: out/last.safetensors',
    ])
    expect(host.stderr.lines).toEqual([
      'note: --xformers changes nothing. Attention is always memory-efficient here.',
      'warning: two pictures have no caption',
      'encoding pictures: 1/2',
      'encoding pictures: 2/2',
      expect.stringMatching(
        /^step 1\/4 {2}loss 1\.0000 {2}average 2\.0000 {2}lr textencoder 5\.00e-5 unet 1\.00e-4 .* left$/,
      ),
      expect.stringMatching(
        /^step 4\/4 {2}loss 0\.2500 {2}average 0\.5000 {2}lr textencoder 5\.00e-5 unet 1\.00e-4 .* left$/,
      ),
    ])
  })

  it('draws a bar on a terminal and leaves the cursor visible', async () => {
    const host = makeTestHost({ isTTY: true })
    await trainCommand('train-network', needed, host, fakeTrain())
    expect(host.stderr.text).toMatch(/4\/4 {2}0:00 left {2}\S+ steps\/s {2}loss 0\.2500 {2}average 0\.5000/)
    expect(host.stderr.text).not.toContain('step 1/4')
    expect(cursorIsVisible(host.stderr.text)).toBe(true)
    expect(host.stdout.text).toContain('saved out/last.safetensors')
    expect(host.stdout.text).not.toContain('\x1b')
    expect(host.stderr.text).not.toContain('\x1b8') // the cursor is never put back over lines of results
  })

  it.each(['SIGINT', 'SIGTERM'])(
    'finishes the step and saves on the first %s, with a code of its own',
    async (name) => {
      const host = makeTestHost()
      const train: Train = async function* (_kind, _config, { signal }) {
        for await (const event of fakeEvents(signal)) {
          yield event
          if (event.type === 'step' && event.step === 1) host.signals.emit(name)
        }
      }
      expect(await trainCommand('train-network', needed, host, { train })).toBe(130)
      expect(host.exits).toEqual([])
      expect(host.stderr.lines.at(-1)).toContain('stopping: the step under way is finished and saved')
      expect(host.stdout.lines.slice(-2)).toEqual([
        'saved out/last.safetensors (1.5 KiB)',
        'interrupted after 1 step; what was learned is in out/last.safetensors',
      ])
      expect(host.signals.listenerCount(name)).toBe(0)
    },
  )

  it('ends at once on the second signal, and leaves the terminal as it was', async () => {
    const host = makeTestHost({ isTTY: true })
    const train: Train = async function* (_kind, _config, { signal }) {
      for await (const event of fakeEvents(signal)) {
        yield event
        if (event.type !== 'step') continue
        host.signals.emit('SIGINT')
        expect(host.exits).toEqual([])
        expect(cursorIsVisible(host.stderr.text)).toBe(false)
        host.signals.emit('SIGTERM')
        expect(host.exits).toEqual([130])
        expect(cursorIsVisible(host.stderr.text)).toBe(true)
      }
    }
    await trainCommand('train-network', needed, host, { train })
    expect(host.exits).toEqual([130])
  })

  it('stops listening and restores the terminal when the training fails', async () => {
    const host = makeTestHost({ isTTY: true })
    const train: Train = async function* () {
      for await (const event of fakeEvents()) {
        yield event
        if (event.type === 'step') throw new Error('the device failed')
      }
    }
    await expect(trainCommand('train-network', needed, host, { train })).rejects.toThrow('the device failed')
    expect(host.signals.listenerCount('SIGINT')).toBe(0)
    expect(host.stderr.text.endsWith('\n')).toBe(true)
    expect(cursorIsVisible(host.stderr.text)).toBe(true)
  })

  it('ends with the code for files when the disk is full, the last good file in place', async () => {
    const folder = join(await makeFolder(), 'out')
    const [model, data] = [await saveTinyModel(), await makeTinyData()]
    const args = ['--pretrained_model_name_or_path', model, '--dataset_config', data, '--output_dir', folder]
    const more = ['--output_name', 'frog', '--max_train_epochs', '3', '--save_every_n_epochs', '1', '--cache_latents']
    const host = makeTestHost()
    const baseline = await baselineBuffers()
    const disk = fillingDisk()
    const train: Train = async function* (kind, config, { signal }) {
      for await (const event of trainFrom(kind, config, { signal, fileSystem: disk.fileSystem })) {
        yield event
        if (event.type === 'save') disk.fill(1000)
      }
    }
    const code = await run(['train-network', ...args, ...more], host, { train })
    expect(code, host.stderr.text).toBe(exitCodes.io)
    expect(host.stderr.text).toMatch(/^error: .*frog-000002\.safetensors: cannot write a file .*ENOSPC/m)
    expect(await readdir(folder)).toEqual(['frog-000001.safetensors'])
    expect((await readKohyaLora(join(folder, 'frog-000001.safetensors'))).modules.size).toBeGreaterThan(0)
    expect(await liveBuffers()).toBe(baseline)
  })
})
