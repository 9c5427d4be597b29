import { EventEmitter } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../lib/cli/run.ts'
import type { TrainingPlan } from '../../lib/train/plan/trainingPlan.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { makeFolder } from '../support/pictures.ts'
import { makeTestHost } from './testHost.ts'

let folder: string
let args: readonly string[]
let buckets: readonly string[]

beforeAll(async () => {
  folder = await makeFolder({
    'data/10_frog/wide.png': [96, 64],
    'data/10_frog/wide.txt': 'a frog, on a log',
    'data/10_frog/tiny.png': [20, 20],
    'data/10_frog/tiny.txt': 'word '.repeat(90),
    'reg/1_thing/a.png': [64, 64],
  })
  const data = ['--train_data_dir', join(folder, 'data'), '--reg_data_dir', join(folder, 'reg')]
  buckets = ['--enable_bucket', '--min_bucket_reso', '32', '--max_bucket_reso', '128', '--bucket_reso_steps', '16']
  args = [
    ...data,
    ...buckets,
    '--resolution',
    '64',
    '--caption_extension',
    '.txt',
    '--train_batch_size',
    '4',
    '--seed',
    '3',
  ]
})

async function runWith(...all: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const host = makeTestHost()
  const code = await run(all, host)
  return { code, out: host.stdout.text, err: host.stderr.text }
}

describe('noisewright plan', () => {
  it('refuses pictures with neither a caption nor class_tokens, unless empty captions are allowed', async () => {
    const pictures = await makeFolder({ 'a.png': [64, 64], 'b.png': [64, 64], 'b.caption': 'b' })
    const toml = `[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = ${JSON.stringify(pictures)}\n`
    const data = ['--dataset_config', join(await makeFolder({ 'data.toml': toml }), 'data.toml')]
    const refused = await runWith('plan', ...data)
    expect(refused.code).toBe(exitCodes.data)
    expect(refused.err).toContain('1 of 2 pictures have no caption file')
    const allowed = await runWith('plan', ...data, '--on_missing_caption', 'warn')
    expect([allowed.code, allowed.err]).toEqual([exitCodes.ok, expect.stringContaining('1 of 2 pictures')])
    const written = ['--token_string', 'sks', '--init_word', 'frog', '--use_style_template']
    expect((await runWith('plan', 'train-textual-inversion', ...data, ...written)).code).toBe(exitCodes.ok)
  })

  it('says as JSON what a training would do, without a model', async () => {
    const { code, out } = await runWith('plan', '--json', ...args, '--max_train_epochs', '2', '--cache_latents_to_disk')
    expect(code).toBe(exitCodes.ok)
    const plan = JSON.parse(out) as TrainingPlan
    expect(plan).toMatchObject({ trainImageCount: 20, regImageCount: 1, epochCount: 2 })
    expect(plan.buckets.reduce((sum, { count }) => sum + count, 0)).toBe(40)
    expect(plan.buckets.reduce((sum, { batches }) => sum + batches, 0)).toBe(plan.batchesPerEpoch)
    expect(plan.stepsPerEpoch * 2).toBe(plan.totalSteps)
    expect(plan.subsets.map(({ images, repeats, isReg }) => [images, repeats, isReg])).toEqual([
      [2, 10, false],
      [1, 1, true],
    ])
    expect(plan.captions).toMatchObject({ limit: 75, total: 3 })
    expect(plan.captions.overLimit).toEqual([{ path: join(folder, 'data/10_frog/tiny.png'), tokens: 90 }])
    const pixels = plan.buckets.reduce((sum, { size, images }) => sum + size.width * size.height * images, 0)
    expect(plan.diskBytes).toBe((pixels / 64) * 4 * 4)
    const mirrored = await runWith('plan', '--json', ...args, '--cache_latents_to_disk', '--flip_aug')
    expect((JSON.parse(mirrored.out) as TrainingPlan).diskBytes).toBe(2 * plan.diskBytes)
    expect(plan.memory.some(({ what }) => what === 'weights')).toBe(false)
  })

  it('counts the space of encoded captions, each once, in files or in memory', async () => {
    const cached = [...args, '--network_train_unet_only', '--max_token_length', '150']
    const planOf = async (...more: string[]): Promise<TrainingPlan> =>
      JSON.parse((await runWith('plan', '--json', ...cached, ...more)).out)
    const toDisk = await planOf('--cache_text_encoder_outputs_to_disk')
    expect(toDisk.disk).toEqual([{ what: 'encoded captions', bytes: 3 * 152 * 768 * 4 }])
    expect(toDisk.diskBytes).toBe(3 * 152 * 768 * 4)
    const inMemory = await planOf('--cache_text_encoder_outputs', '--mixed_precision', 'bf16')
    expect(inMemory.disk).toEqual([])
    expect(inMemory.memory).toContainEqual({ what: 'encoded captions', bytes: 3 * 152 * 768 * 2 })
    const { out } = await runWith('plan', ...cached, '--cache_text_encoder_outputs_to_disk')
    expect(out).toMatch(/disk: 1\.3 MiB of encoded captions/)
  })

  it('counts pictures that are held out apart', async () => {
    const held = [...args, '--validation_split', '0.5', '--cache_latents_to_disk']
    const plan = JSON.parse((await runWith('plan', '--json', ...held)).out) as TrainingPlan
    expect(plan).toMatchObject({ trainImageCount: 10, heldOutCount: 1 })
    expect(plan.subsets.map(({ images, heldOut }) => [images, heldOut])).toEqual([
      [1, 1],
      [1, 0],
    ])
    const all = JSON.parse((await runWith('plan', '--json', ...args, '--cache_latents_to_disk')).out) as TrainingPlan
    expect(plan.diskBytes).toBe(all.diskBytes)
    const { out } = await runWith('plan', ...held)
    expect(out).toContain('10_frog: 1 picture, repeats 10, 1 more held out')
    expect(out).toContain('1 picture held out, to be measured')
  })

  it('tells how many pictures are turned upright', async () => {
    const upright = { create: { width: 64, height: 96, channels: 3, background: 'red' } } as const
    const turned = await sharp(upright).withMetadata({ orientation: 6 }).jpeg().toBuffer()
    const own = await makeFolder({ '1_x/a.png': [64, 64], '1_x/b.jpg': turned, '1_x/c.jpg': [64, 64] })
    const more = ['--train_data_dir', own, '--resolution', '64', ...buckets]
    const plan = JSON.parse((await runWith('plan', '--json', ...more)).out) as TrainingPlan
    expect(plan.subsets).toMatchObject([{ images: 3, turned: 1 }])
    expect((await runWith('plan', ...more)).out).toContain('3 pictures, repeats 1, 1 turned upright as EXIF says')
    const stored = await runWith('plan', ...more, '--ignore_exif')
    expect(stored.out).toContain('3 pictures, repeats 1\n')
  })

  it('takes off what a later beginning leaves out', async () => {
    const epochs = ['--max_train_epochs', '3']
    const planOf = async (...more: string[]) =>
      JSON.parse((await runWith('plan', '--json', ...args, ...epochs, ...more)).out)
    const { stepsPerEpoch, totalSteps, skippedSteps } = (await planOf()) as TrainingPlan
    expect([totalSteps, skippedSteps]).toEqual([3 * stepsPerEpoch, 0])
    const step = String(stepsPerEpoch + 1)
    // Only whole epochs are left out, unless what comes before is passed over.
    expect(await planOf('--initial_step', step)).toMatchObject({ totalSteps, skippedSteps: stepsPerEpoch })
    const passing = ['--initial_step', step, '--skip_until_initial_step']
    expect(await planOf(...passing)).toMatchObject({ totalSteps, skippedSteps: stepsPerEpoch + 1 })
    expect(await planOf('--initial_epoch', '3')).toMatchObject({ totalSteps, skippedSteps: 2 * stepsPerEpoch })
    const { out } = await runWith('plan', ...args, ...epochs, ...passing)
    expect(out).toContain(`in 3 epochs, of which ${step} are left out: ${totalSteps - Number(step)} to train`)
  })

  it('prints a table for people, with what is enlarged and cut off', async () => {
    const { code, out } = await runWith('plan', ...args)
    expect(code).toBe(exitCodes.ok)
    expect(out).toMatch(/bucket +pictures +with repeats +batches +enlarged +cut off/)
    expect(out).toMatch(/64x64 .*50 %/)
    expect(out).toContain('1 of 3 captions are longer than 75 tokens')
    expect(out).toMatch(/memory: about/)
  })

  it('reports wrong options and data as a training does', async () => {
    expect((await runWith('plan')).code).toBe(exitCodes.usage)
    expect((await runWith('plan', ...args, '--keep_token', '2')).err).toContain('keep_tokens')
    expect((await runWith('plan', '--train_data_dir', join(folder, 'none'), '--resolution', '64')).code).toBe(
      exitCodes.data,
    )
  })
})

describe('noisewright debug-dataset', () => {
  it('lists one epoch where nobody can press a key', async () => {
    const { code, out } = await runWith('debug-dataset', ...args)
    expect(code).toBe(exitCodes.ok)
    expect(out.match(/^epoch 1, batch/gm)!.length).toBe(Number(/of (\d+), step 1/.exec(out)![1]))
    expect(out).not.toContain('epoch 2')
    expect(out).toContain('15 more do not fit')
    expect(await runWith('debug-dataset', ...args)).toEqual({ code, out, err: expect.any(String) })
  })

  it('does the same for train-network --debug_dataset, and trains nothing', async () => {
    const model = ['--pretrained_model_name_or_path', join(folder, 'no-model'), '--output_dir', join(folder, 'out')]
    const network = ['--network_module', 'networks.lora', '--debug_dataset', '--debug_dataset_max_batches', '2']
    const { code, out } = await runWith('train-network', ...args, ...model, ...network)
    expect(code).toBe(exitCodes.ok)
    expect(out.match(/^epoch 1, batch/gm)).toHaveLength(2)
  })

  it('writes a page', async () => {
    const html = join(folder, 'page.html')
    const { code, out } = await runWith('debug-dataset', '--html', html, '--max_batches', '1', ...args)
    expect({ code, out }).toEqual({ code: exitCodes.ok, out: `saved ${html}\n` })
    expect(await readFile(html, 'utf8')).toContain('data:image/png;base64,')
  })

  it('serves a page until it is interrupted', async () => {
    const host = makeTestHost()
    const ended = run(['debug-dataset', '--port', '0', ...args], host)
    await expect.poll(() => host.stdout.text).toContain('http://127.0.0.1:')
    const url = /http:\S+/.exec(host.stdout.text)![0]
    expect((await fetch(url)).status).toBe(200)
    host.signals.emit('SIGINT')
    expect(await ended).toBe(exitCodes.ok)
    await expect(fetch(url)).rejects.toThrow()
  })

  it('goes on at a key press on a terminal', async () => {
    const keys = Object.assign(new EventEmitter(), { isTTY: true, resume: () => undefined, pause: () => undefined })
    const host = makeTestHost({ isTTY: true })
    const ended = run(['debug-dataset', ...args], { ...host, keys })
    const press = async (key: string, shown: string): Promise<void> => {
      await expect.poll(() => host.stdout.text).toContain(shown)
      keys.emit('data', Buffer.from(key))
    }
    await press('x', 'epoch 1, batch 1')
    await press('s', 'epoch 1, batch 1')
    await press('E', 'epoch 1, batch 2')
    await press('\u001b', 'epoch 2, batch 1')
    expect(await ended).toBe(exitCodes.ok)
    expect(host.stdout.text).not.toContain('epoch 1, batch 3')
  })
})
