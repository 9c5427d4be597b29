import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadDiffusersFolder } from '../../lib/checkpoints/diffusersFolder.ts'
import { loadDatasetGroup } from '../../lib/data/datasetGroup.ts'
import { prepareDemo } from '../../lib/demo/demo.ts'
import { readPromptFile } from '../../lib/preview/promptFile.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noisewright-demo-'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('prepareDemo', () => {
  it('makes a model, a data set and prompts that the trainer can read', async () => {
    const { model, data, preview, training } = await prepareDemo(folder, { count: 6, epochs: 2 })
    const models = await loadDiffusersFolder(model.path)
    expect(models.config.unet.blockOutChannels).toEqual([32, 64, 64, 64])
    models.dispose()
    const group = await loadDatasetGroup(data.source, { seed: 1, sizeMultiple: 64 })
    expect(group.trainImageCount).toBe(6)
    expect(group.warnings).toEqual([])
    expect(await readPromptFile(preview.promptFile!)).toHaveLength(4)
    expect(training.maxEpochs).toBe(2)
    expect(preview.everyEpochs).toBe(2)
  })

  it('makes the same model from the same seed, and another from another', async () => {
    const weights = 'unet/diffusion_pytorch_model.safetensors'
    const bytesOf = async (seed: number, name: string): Promise<Buffer> => {
      const config = await prepareDemo(join(folder, name), { count: 1, seed })
      return readFile(join(config.model.path, weights))
    }
    const first = await bytesOf(1, 'a')
    expect(first.equals(await bytesOf(1, 'b'))).toBe(true)
    expect(first.equals(await bytesOf(2, 'c'))).toBe(false)
  })
})
