import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { convertCheckpoint } from '../../lib/checkpoints/convertCheckpoint.ts'
import { saveDiffusersFolder } from '../../lib/checkpoints/diffusersFolder.ts'
import { loadLdmCheckpoint } from '../../lib/checkpoints/loadLdmCheckpoint.ts'
import { saveLdmCheckpoint } from '../../lib/checkpoints/saveLdmCheckpoint.ts'
import type { SaveModelAs } from '../../lib/checkpoints/writeModel.ts'
import { openTorchFile } from '../../lib/io/torchFile.ts'
import { ArgumentError, CheckpointError, IoError } from '../../lib/util/errors.ts'
import {
  changedCopy,
  readTensors,
  saveTinyCheckpoint,
  sizesOf,
  small1,
  small2,
  zerosOf,
} from '../support/checkpoints.ts'
import { makeFolder } from '../support/pictures.ts'

let paths: Readonly<Record<'one' | 'two', string>>
beforeAll(async () => {
  paths = { one: await saveTinyCheckpoint(small1), two: await saveTinyCheckpoint(small2) }
})
const models = [
  ['a small SD 1', 'one'],
  ['a small SD 2', 'two'],
] as const

async function target(name: string): Promise<string> {
  return join(await makeFolder(), name)
}

/** Every file below a folder with its bytes. */
async function filesOf(folder: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>()
  for (const name of (await readdir(folder, { recursive: true })).sort()) {
    const path = join(folder, name)
    if ((await stat(path)).isFile()) files.set(name, await readFile(path))
  }
  return files
}

describe('convertCheckpoint', () => {
  it.each(
    models.flatMap(([what, key]) =>
      (['diffusers', 'diffusers_safetensors'] as const).map((to) => [what, to, key] as const),
    ),
  )('makes the same file of %s after a turn through %s', async (_what, to, key) => {
    const [folder, again] = [await target('model'), await target('again.safetensors')]
    await convertCheckpoint(paths[key], folder, { to })
    await convertCheckpoint(folder, again, { to: 'safetensors' })
    expect(await readFile(again)).toEqual(await readFile(paths[key]))
  })

  it.each(models)('writes what a model in memory writes: %s', async (_what, key) => {
    const { models } = await loadLdmCheckpoint(paths[key])
    try {
      for (const precision of [undefined, 'fp16', 'bf16'] as const) {
        const [streamed, saved] = [await target('model'), await target('model')]
        await convertCheckpoint(paths[key], streamed, { to: 'diffusers_safetensors', precision })
        await saveDiffusersFolder(saved, models, { precision })
        const [found, expected] = [await filesOf(streamed), await filesOf(saved)]
        expect([...found.keys()]).toEqual([...expected.keys()])
        for (const [name, bytes] of found) expect(bytes.equals(expected.get(name)!), name).toBe(true)
        const [file, other] = [await target('a.ckpt'), await target('b.ckpt')]
        await convertCheckpoint(paths[key], file, { to: 'ckpt', precision })
        await saveLdmCheckpoint(other, models, { precision, source: paths[key] })
        expect((await readFile(file)).equals(await readFile(other))).toBe(true)
      }
    } finally {
      models.dispose()
    }
  })

  it('keeps everything else in a single file that becomes a single file', async () => {
    const extra = ['model_ema.diffusion_modelout2bias', 'betas', 'something.else'].map((name) => zerosOf(name, [3]))
    const source = await changedCopy(paths.one, {
      more: extra,
      metadata: { 'modelspec.title': 'frog', 'modelspec.hash_sha256': 'x' },
    })
    const sizes = sizesOf(small1)
    const [ckpt, again] = [await target('model.ckpt'), await target('again.safetensors')]
    await convertCheckpoint(source, ckpt, { to: 'ckpt', sizes, precision: 'fp16' })
    const half = (await readTensors(ckpt)).tensors
    for (const { name } of extra) expect(half.get(name)!.dtype).toBe('F32')
    expect(half.get('model.diffusion_model.out.2.bias')!.dtype).toBe('F16')
    await convertCheckpoint(source, again, { to: 'safetensors', sizes })
    const { tensors, metadata } = await readTensors(again)
    expect([...tensors.keys()].sort()).toEqual([...half.keys()].sort())
    expect(metadata.get('modelspec.title')).toBe('frog')
    expect(metadata.has('modelspec.hash_sha256')).toBe(false)
    const file = await openTorchFile(ckpt)
    expect(file.under).toBe('state_dict')
    await file.close()
  })

  it('puts another VAE in place of the own', async () => {
    const other = await changedCopy(paths.one, {
      change: (tensor) =>
        tensor.name === 'first_stage_model.decoder.conv_out.bias' ? { ...tensor, data: new Uint8Array(12) } : tensor,
    })
    for (const to of ['safetensors', 'diffusers_safetensors'] as const) {
      const path = await target('model')
      await convertCheckpoint(paths.one, path, { to, vae: other, sizes: sizesOf(small1) })
      const file = to === 'safetensors' ? path : join(path, 'vae', 'diffusion_pytorch_model.safetensors')
      const name = to === 'safetensors' ? 'first_stage_model.decoder.conv_out.bias' : 'decoder.conv_out.bias'
      expect([...(await readTensors(file)).tensors.get(name)!.data]).toEqual(Array(12).fill(0))
    }
  })

  it('fetches one tensor at a time, and tells how far it is', async () => {
    const seen: number[] = []
    const path = await target('model')
    await convertCheckpoint(paths.two, path, {
      to: 'diffusers_safetensors',
      precision: 'fp16',
      onProgress: ({ done, total }) => seen.push(done / total),
    })
    expect(seen.length).toBeGreaterThan(100)
    expect(seen.at(-1)).toBe(1)
    expect(seen.every((share, i) => i === 0 || share > seen[i - 1]!)).toBe(true)
  })

  it('leaves nothing behind when it is interrupted', async () => {
    for (const to of ['safetensors', 'diffusers'] as const) {
      const folder = await makeFolder()
      const controller = new AbortController()
      const options = { to, signal: controller.signal, onProgress: () => controller.abort() }
      await expect(convertCheckpoint(paths.one, join(folder, 'model'), options)).rejects.toThrow()
      expect(await readdir(folder)).toEqual([])
    }
  })

  it('replaces nothing unless it may', async () => {
    const path = await target('model.safetensors')
    await convertCheckpoint(paths.one, path, { to: 'safetensors' })
    const refused = convertCheckpoint(paths.two, path, { to: 'safetensors' })
    await expect(refused).rejects.toThrow(IoError)
    await expect(refused).rejects.toThrow('there is something of that name')
    expect(await readFile(path)).toEqual(await readFile(paths.one))
    await convertCheckpoint(paths.two, path, { to: 'safetensors', overwrite: true })
    expect(await readFile(path)).toEqual(await readFile(paths.two))
  })

  it('refuses unknown forms and types with the nearest', async () => {
    const path = await target('model')
    const form = convertCheckpoint(paths.one, path, { to: 'difusers' as SaveModelAs })
    await expect(form).rejects.toThrow(ArgumentError)
    await expect(form).rejects.toThrow('Did you mean "diffusers"?')
    const type = convertCheckpoint(paths.one, path, { to: 'ckpt', precision: 'fp61' as 'fp16' })
    await expect(type).rejects.toThrow('Did you mean "fp16"?')
  })

  it('refuses a source that lacks a tensor with the nearest there is, and writes nothing', async () => {
    const key = 'model.diffusion_model.input_blocks.1.0.emb_layers.1.bias'
    const source = await changedCopy(paths.one, { change: (tensor) => (tensor.name === key ? null : tensor) })
    const folder = await makeFolder()
    const refused = convertCheckpoint(source, join(folder, 'model'), { to: 'diffusers', sizes: sizesOf(small1) })
    await expect(refused).rejects.toThrow(CheckpointError)
    await expect(refused).rejects.toThrow(`"${key}" is missing (the nearest there is "`)
    expect(await readdir(folder)).toEqual([])
  })
})
