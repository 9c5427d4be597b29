import { access, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../lib/cli/run.ts'
import { readLatentFile } from '../../lib/data/latentFiles.ts'
import { readNpz } from '../../lib/io/npz.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { makeTestHost } from '../cli/testHost.ts'
import { addFiles, type FileContent, makeFolder } from '../support/pictures.ts'
import { saveTinyModel } from '../support/tinyTraining.ts'

let model: string
beforeAll(async () => {
  model = await saveTinyModel()
})

interface Result {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function prepare(folder: string, inJson: string, ...options: readonly string[]): Promise<Result> {
  return prepareInto('out.json', folder, inJson, ...options)
}

async function prepareInto(
  outJson: string,
  folder: string,
  inJson: string,
  ...options: readonly string[]
): Promise<Result> {
  const host = makeTestHost()
  const paths = [folder, join(folder, inJson), join(folder, outJson), model]
  const code = await run(['prepare_buckets_latents', ...paths, ...options], host)
  return { code, out: host.stdout.text, err: host.stderr.text }
}

/** Quick sizes. */
const small = [
  '--max_resolution',
  '64,64',
  '--min_bucket_reso',
  '32',
  '--max_bucket_reso',
  '128',
  '--bucket_reso_steps',
  '16',
]

const makePictures = (files: Readonly<Record<string, FileContent>> = {}): Promise<string> =>
  makeFolder({ 'a.png': [64, 64], 'b.png': [100, 70], 'c.png': [60, 60], 'in.json': '{}', ...files })

const npzOf = async (folder: string): Promise<string[]> =>
  (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.npz')).sort()

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

describe('prepare_buckets_latents', () => {
  it('writes the metadata of the worked example to the byte, and latents of its sizes', async () => {
    const folder = await makeFolder({
      'a.jpg': [1920, 1080],
      'b.png': [1000, 1000],
      'in.json': '{"a": {"caption": "a frog", "tags": "frog, green"}}',
    })
    const { code, out } = await prepare(folder, 'in.json')
    expect(code).toBe(exitCodes.ok)
    expect(await readFile(join(folder, 'out.json'), 'utf8')).toBe(`{
  "a": {
    "caption": "a frog",
    "tags": "frog, green",
    "train_resolution": [
      640,
      384
    ]
  },
  "b": {
    "train_resolution": [
      512,
      512
    ]
  }
}`)
    expect(await npzOf(folder)).toEqual(['a.npz', 'b.npz'])
    for (const [name, shape] of [['a', [4, 48, 80]] as const, ['b', [4, 64, 64]] as const]) {
      const arrays = await readNpz(join(folder, `${name}.npz`))
      expect([...arrays.keys()]).toEqual(['arr_0'])
      expect(arrays.get('arr_0')).toMatchObject({ dtype: 'F32', shape })
    }
    expect(out).toContain('bucket 512x512: 1 picture\nbucket 640x384: 1 picture\n')
    expect(out).toContain(`mean aspect ratio error: ${Math.abs(640 / 384 - 1920 / 1080) / 2}\n`)
  })

  it('writes the same bytes again, with any batch size and in parts', async () => {
    const folder = await makePictures()
    expect(await prepare(folder, 'in.json', ...small, '--flip_aug')).toMatchObject({ code: exitCodes.ok })
    const names = await npzOf(folder)
    expect(names).toEqual(['a.npz', 'a_flip.npz', 'b.npz', 'b_flip.npz', 'c.npz', 'c_flip.npz'])
    const bytes = await Promise.all(names.map((name) => readFile(join(folder, name))))
    expect(bytes[0]).not.toEqual(bytes[1])

    const other = await makePictures()
    const batch = ['--flip_aug', '--batch_size', '2', '--max_data_loader_n_workers', '0']
    const first = await prepare(other, 'in.json', ...small, ...batch, '--shard', '1/2')
    expect(first.out).toContain('latents: 1 written')
    expect(await exists(join(other, 'out.json')), 'part 0 writes the metadata').toBe(false)
    await prepare(other, 'in.json', ...small, ...batch, '--shard', '0/2')
    expect(await Promise.all(names.map((name) => readFile(join(other, name))))).toEqual(bytes)
    expect(Object.keys(JSON.parse(await readFile(join(other, 'out.json'), 'utf8')))).toEqual(['a', 'b', 'c'])
  })

  it('removes the mirrored latents of pictures that it encodes without --flip_aug, and of no others', async () => {
    const folder = await makePictures()
    await prepare(folder, 'in.json', ...small, '--flip_aug')
    await addFiles(folder, { 'c.npz': 'no latents' })
    const { code, err, out } = await prepare(folder, 'in.json', ...small, '--skip_existing')
    expect(code).toBe(exitCodes.ok)
    expect(err).toMatch(/warning: .*c_flip\.npz: removed/)
    expect(out).toContain('latents: 1 written, 2 kept, 0 left out')
    expect(await npzOf(folder)).toEqual(['a.npz', 'a_flip.npz', 'b.npz', 'b_flip.npz', 'c.npz'])
  })

  it('keeps latents of the right size only, and asks for the mirrored ones where they are wanted', async () => {
    const folder = await makePictures()
    await prepare(folder, 'in.json', ...small)
    await writeFile(join(folder, 'b.npz'), await readFile(join(folder, 'a.npz')))
    expect((await prepare(folder, 'in.json', ...small, '--skip_existing')).out).toContain('1 written, 2 kept')
    expect((await prepare(folder, 'in.json', ...small, '--skip_existing', '--flip_aug')).out).toContain(
      '3 written, 0 kept',
    )
    const json = JSON.parse(await readFile(join(folder, 'out.json'), 'utf8')) as Record<string, unknown>
    expect(Object.keys(json), 'entries of pictures with latents get their sizes too').toEqual(['a', 'b', 'c'])
  })

  it('names entries by paths and puts latents beside pictures in subfolders with --full_path and --recursive', async () => {
    const folder = await makePictures({ 'deep/a.png': [64, 64] })
    const clash = await prepare(folder, 'in.json', ...small, '--recursive')
    expect(clash.code).toBe(exitCodes.data)
    expect(clash.err).toMatch(/deep\/a\.png|a\.png: would share "a"/)
    const { code } = await prepare(folder, 'in.json', ...small, '--recursive', '--full_path')
    expect(code).toBe(exitCodes.ok)
    expect(await npzOf(folder)).toEqual(['a.npz', 'b.npz', 'c.npz', 'deep/a.npz'])
    const keys = Object.keys(JSON.parse(await readFile(join(folder, 'out.json'), 'utf8')) as object)
    expect(keys).toContain(`${folder}/deep/a.png`)
  })

  it('ends with a code of its own, and writes nothing, for missing metadata, bad pictures and wrong options', async () => {
    const folder = await makePictures({ 'bad.png': 'text' })
    const none = await prepare(folder, 'none.json', ...small)
    expect(none).toMatchObject({ code: exitCodes.data })
    expect(none.err).toContain('there is no metadata file of that name')
    expect(await prepare(folder, 'in.json', ...small)).toMatchObject({ code: exitCodes.data })
    expect(await npzOf(folder)).toEqual([])
    expect(await exists(join(folder, 'out.json'))).toBe(false)
    for (const wrong of [
      ['--max_resolution', '512'],
      ['--mixed_precision', 'fp8'],
      ['--device', 'gpu'],
      ['--shard', '2/2'],
      ['--batch_size', '0'],
    ])
      expect(await prepare(folder, 'in.json', ...wrong), wrong.join(' ')).toMatchObject({ code: exitCodes.usage })

    const skipping = await prepare(folder, 'in.json', ...small, '--on_bad_image', 'skip')
    expect(skipping.code).toBe(exitCodes.ok)
    expect(skipping.out).toContain(`left out: ${folder}/bad.png`)
    expect(await npzOf(folder)).toEqual(['a.npz', 'b.npz', 'c.npz'])
    expect(await readFile(join(folder, 'out.json'), 'utf8')).not.toContain('bad')
  })

  it('notices before the work that the metadata cannot be written', async () => {
    const folder = await makePictures()
    const { code, err } = await prepareInto('none/out.json', folder, 'in.json', ...small)
    expect(code).toBe(exitCodes.io)
    expect(err).toContain('none/out.json: cannot write the metadata: no such file or folder; check the path')
    expect(await npzOf(folder)).toEqual([])
  })

  it('never enlarges with --bucket_no_upscale, and refuses pictures narrower than a step', async () => {
    const folder = await makePictures()
    expect((await prepare(folder, 'in.json', ...small, '--bucket_no_upscale')).out).toContain('bucket 48x48: 1 picture')
    const size = { width: 6, height: 6, channels: 4 }
    expect((await readLatentFile({ file: join(folder, 'c.npz') }, false, size)).shape).toEqual([6, 6, 4])
    await addFiles(folder, { 'thin.png': [10, 90] })
    const { code, err } = await prepare(folder, 'in.json', ...small, '--bucket_no_upscale')
    expect(code).toBe(exitCodes.data)
    expect(err).toMatch(/thin\.png: the picture \(10x90\) is too small/)
  })

  it.each([
    ['bf16', 0.1],
    ['fp16', 0.01],
  ])('computes the VAE in %s when asked to, and writes float32', async (type, tolerance) => {
    const [plain, half] = [await makePictures(), await makePictures()]
    await prepare(plain, 'in.json', ...small)
    await prepare(half, 'in.json', ...small, '--mixed_precision', type)
    const size = { width: 8, height: 8, channels: 4 }
    const [a, b] = await Promise.all(
      [plain, half].map((folder) => readLatentFile({ file: join(folder, 'a.npz') }, false, size)),
    )
    expect(b!.values).not.toEqual(a!.values)
    const worst = Math.max(...a!.values.map((value, i) => Math.abs(value - b!.values[i]!)))
    expect(worst, 'the same noise, other roundings').toBeLessThan(tolerance)
  })
})
