import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { inspectFile } from '../../lib/checkpoints/inspect.ts'
import { loadStableDiffusion } from '../../lib/checkpoints/loadStableDiffusion.ts'
import { withShippedModel } from '../../lib/checkpoints/shippedModel.ts'
import { loadClipTokenizer } from '../../lib/models/clip/tokenizer.ts'
import { sd1 } from '../../lib/models/stableDiffusion/config.ts'
import { assetPath } from '../../lib/util/assets.ts'
import { CheckpointError } from '../../lib/util/errors.ts'

const here = process.cwd()
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noisewright-shipped-'))
})
afterAll(async () => {
  process.chdir(here)
  await rm(folder, { recursive: true })
})

describe('the shipped model', () => {
  it('has the structure of Stable Diffusion 1.x, and embeddings for what it was taught', async () => {
    const { models } = await loadStableDiffusion('miniature')
    const { unet, textEncoder, vae } = models
    expect(models.config).toMatchObject({ version: 1, predictionType: 'epsilon' })
    expect(unet.config.blockOutChannels).toHaveLength(sd1.unet.blockOutChannels.length)
    expect(unet.config.layersPerBlock).toBe(sd1.unet.layersPerBlock)
    expect(unet.crossAttentionCount).toBe(16)
    expect(textEncoder.config).toMatchObject({ vocabSize: 49408, positions: 77 })
    expect(vae.reduction).toBe(8)
    const name = 'text_model.embeddings.token_embedding.weight'
    const rows = (await textEncoder.registry.parameters.get(name)!.tensor.read()) as Float32Array
    const tokenizer = await loadClipTokenizer()
    const isKnown = (word: string): boolean => {
      const token = tokenizer.tokenize(word)[1]!
      const size = textEncoder.config.hiddenSize
      return rows.subarray(token * size, (token + 1) * size).some((value) => value !== 0)
    }
    models.dispose()
    expect(['apple', 'owl', 'heart', 'sks', 'brazil'].map(isKnown)).toEqual([true, true, true, false, false])
  })

  it('is at most 10 MB in the package', async () => {
    let bytes = 0
    const root = assetPath('miniature')
    for (const entry of await readdir(root, { recursive: true, withFileTypes: true }))
      if (entry.isFile()) bytes += gzipSync(await readFile(join(entry.parentPath, entry.name))).byteLength
    expect(bytes).toBeGreaterThan(5e6)
    expect(bytes).toBeLessThanOrEqual(10e6)
  })

  it('is inspected by its name', async () => {
    expect(await inspectFile('miniature')).toMatchObject({ readable: true, kind: 'stableDiffusion', version: 1 })
  })

  it('gives way to what lies in the working directory under its name, and is offered where nothing is found', async () => {
    process.chdir(folder)
    expect(await withShippedModel('miniature')).toBe(assetPath('miniature/model'))
    await mkdir('miniature')
    expect(await withShippedModel('miniature')).toBe('miniature')
    expect(await withShippedModel('other')).toBe('other')
    await expect(loadStableDiffusion('other')).rejects.toThrow(CheckpointError)
    await expect(loadStableDiffusion('other')).rejects.toThrow(/or 'miniature'/)
  })
})
