import { readdir, readFile, stat, truncate } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../lib/cli/run.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { addFiles, encodePicture, type FileContent, makeFolder } from '../support/pictures.ts'
import { saveTinyModel } from '../support/tinyTraining.ts'
import { makeTestHost } from './testHost.ts'

let model: string
let picture: Buffer
beforeAll(async () => {
  model = await saveTinyModel()
  picture = await encodePicture('.png', 64, 64)
})

interface Refusal {
  readonly code: number
  /** What stderr holds, after `error: `. */
  readonly message: string
  readonly out: string
}

/** Runs a training that must fail, and checks what every failure has in common. */
async function refused(dataFile: string, modelFolder = model, more: readonly string[] = []): Promise<Refusal> {
  const folder = join(await makeFolder(), 'out')
  const host = makeTestHost()
  const baseline = await baselineBuffers()
  const args = ['--pretrained_model_name_or_path', modelFolder, '--dataset_config', dataFile, '--output_dir', folder]
  const code = await run(['train-network', ...args, '--max_train_steps', '2', '--seed', '1', ...more], host)
  const err = host.stderr.text
  expect(err).not.toMatch(/\n\s+at /)
  expect(err.match(/^error: /gm)).toHaveLength(1)
  const written = await readdir(folder, { recursive: true }).catch(() => [])
  expect(written, 'files in the output folder').toEqual([])
  expect(await liveBuffers(), 'buffers left').toBe(baseline)
  return { code, message: err.slice(err.indexOf('error: ') + 7).trimEnd(), out: host.stdout.text }
}

/** A data set description of one folder, and the folder's path. */
async function describeData(
  files: Readonly<Record<string, FileContent>> = {},
  { images, resolution = 64 }: { readonly images?: string; readonly resolution?: number } = {},
): Promise<{ readonly file: string; readonly folder: string }> {
  const folder = images ?? (await makeFolder(files))
  const file = join(await makeFolder(), 'data.toml')
  const toml = `[[datasets]]
resolution = ${resolution}
batch_size = 1

  [[datasets.subsets]]
  image_dir = ${JSON.stringify(folder)}
  class_tokens = "frog"
  caption_extension = ".txt"
`
  await addFiles(dirname(file), { 'data.toml': toml })
  return { file, folder }
}

describe('unusable training data is refused with its own exit code:', () => {
  it('a missing folder', async () => {
    const { file, folder } = await describeData({}, { images: '/no/such/folder' })
    const { code, message } = await refused(file)
    expect(code).toBe(exitCodes.data)
    expect(message).toBe(`${folder}: the folder does not exist: check the path`)
  })

  it('a folder without pictures', async () => {
    const { file, folder } = await describeData({ 'notes.txt': 'nothing here' })
    const { code, message } = await refused(file)
    expect(code).toBe(exitCodes.data)
    expect(message).toContain(folder)
    expect(message).toMatch(/no (pictures|images)/)
  })

  it('pictures only in a folder below', async () => {
    const { file, folder } = await describeData({ 'frogs/a.png': picture })
    const { code, message } = await refused(file)
    expect(code).toBe(exitCodes.data)
    expect(message).toContain(folder)
    expect(message).toContain('frogs')
  })

  it('pictures only in the folder above', async () => {
    const parent = await makeFolder({ 'a.png': picture, 'frogs/notes.txt': '' })
    const { file, folder } = await describeData({}, { images: join(parent, 'frogs') })
    const { code, message } = await refused(file)
    expect(code).toBe(exitCodes.data)
    expect(message.startsWith(`${folder}: `)).toBe(true)
    expect(message).toContain(parent)
  })

  it.each([true, false])('a picture cut short (latents cached: %s)', async (cached) => {
    const { file, folder } = await describeData({ 'a.png': picture.subarray(0, picture.length - 200) })
    const { code, message } = await refused(file, model, cached ? ['--cache_latents'] : [])
    expect(code).toBe(exitCodes.data)
    expect(message).toContain(join(folder, 'a.png'))
    expect(message).toMatch(/cut short|damaged/)
  })

  it.each([true, false])('a picture with damage inside (latents cached: %s)', async (cached) => {
    const damaged = Buffer.from(picture).fill(0, picture.length >> 1, picture.length - 64)
    const { file, folder } = await describeData({ 'a.png': damaged })
    const { code, message } = await refused(file, model, cached ? ['--cache_latents'] : [])
    expect(code).toBe(exitCodes.data)
    expect(message).toContain(join(folder, 'a.png'))
    expect(message).toContain('damaged')
  })

  it('text in a file named .png', async () => {
    const { file, folder } = await describeData({ 'a.png': 'this is no picture', 'b.png': picture })
    const { code, message } = await refused(file)
    expect(code).toBe(exitCodes.data)
    expect(message).toContain(join(folder, 'a.png'))
    expect(message).not.toContain('b.png')
  })

  it('a caption that is not UTF-8', async () => {
    const { file, folder } = await describeData({ 'a.png': picture, 'a.txt': Uint8Array.of(0x66, 0xff, 0xfe, 0x67) })
    const { code, message } = await refused(file)
    expect(code).toBe(exitCodes.data)
    expect(message).toContain(join(folder, 'a.txt'))
    expect(message).toContain('UTF-8')
  })
})

describe('a wrong configuration is refused with the code of wrong usage:', () => {
  it('an unknown key, with line, column and the nearest name', async () => {
    const folder = await makeFolder({
      'data.toml':
        '[general]\nenable_bucket = true\n\n[[datasets]]\nresolutoin = 64\n[[datasets.subsets]]\nimage_dir = "x"\n',
    })
    const { code, message } = await refused(join(folder, 'data.toml'))
    expect(code).toBe(exitCodes.usage)
    expect(message).toContain(`${join(folder, 'data.toml')}:5:1: `)
    expect(message).toContain('"resolution"')
  })

  it('a resolution that latents cannot have', async () => {
    const { file } = await describeData({ 'a.png': picture }, { resolution: 100 })
    const { code, message } = await refused(file)
    expect(code).toBe(exitCodes.usage)
    expect(message).toMatch(/data\.toml:2:\d+: /)
    expect(message).toMatch(/resolution.*100/)
  })

  it('TOML that is none', async () => {
    const folder = await makeFolder({ 'data.toml': '[[datasets]]\nresolution = = 64\n' })
    const { code, message } = await refused(join(folder, 'data.toml'))
    expect(code).toBe(exitCodes.usage)
    expect(message).toContain(`${join(folder, 'data.toml')}:2:`)
  })
})

describe('an unusable model is refused with its own exit code:', () => {
  it('a path where there is none', async () => {
    const { file } = await describeData({ 'a.png': picture })
    const { code, message } = await refused(file, '/no/such/model')
    expect(code).toBe(exitCodes.checkpoint)
    expect(message).toContain('/no/such/model: no such file or folder')
  })

  it.each([
    ['unet/diffusion_pytorch_model.safetensors', 0.5],
    ['text_encoder/model.safetensors', 0.99],
    ['vae/diffusion_pytorch_model.safetensors', 0.001],
    ['vae/diffusion_pytorch_model.safetensors', 0],
  ])('%s cut to %d of its length', async (name, share) => {
    const { file } = await describeData({ 'a.png': picture })
    const cut = await saveTinyModel()
    const path = join(cut, name)
    await truncate(path, Math.floor((await stat(path)).size * share))
    const { code, message } = await refused(file, cut)
    expect(code).toBe(exitCodes.checkpoint)
    expect(message.startsWith(`${path}: `)).toBe(true)
    expect(message).toMatch(/cut short|an empty file/)
  })

  it('a configuration that is not JSON', async () => {
    const { file } = await describeData({ 'a.png': picture })
    const broken = await saveTinyModel()
    const path = join(broken, 'unet', 'config.json')
    await truncate(path, (await readFile(path)).byteLength >> 1)
    const { code, message } = await refused(file, broken)
    expect(code).toBe(exitCodes.checkpoint)
    expect(message.startsWith(`${path}: `)).toBe(true)
  })
})

it('a file in the place of the output folder is refused with the code of files', async () => {
  const { file } = await describeData({ 'a.png': picture })
  const out = join(await makeFolder({ out: 'a file' }), 'out')
  const host = makeTestHost()
  const args = ['--pretrained_model_name_or_path', model, '--dataset_config', file, '--output_dir', out]
  expect(await run(['train-network', ...args], host)).toBe(exitCodes.io)
  expect(host.stderr.text).toContain(out)
  expect(host.stderr.text).not.toMatch(/\n\s+at /)
  expect(await readFile(out, 'utf8')).toBe('a file')
})
