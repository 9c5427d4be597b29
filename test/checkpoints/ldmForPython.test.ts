/** Files for scripts/reference/check_ldm.py, kept where the environment says so; without it, read back here. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadLdmCheckpoint } from '../../lib/checkpoints/loadLdmCheckpoint.ts'
import { saveLdmCheckpoint } from '../../lib/checkpoints/saveLdmCheckpoint.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { sizesOf } from '../support/checkpoints.ts'
import { makeFolder } from '../support/pictures.ts'
import { formulaWeights, tinyConfigs } from '../support/tinyModels.ts'

const prefixes = { unet: 'unet', textEncoder: 'text_encoder', vae: 'vae' } as const

describe('checkpoints for Python', () => {
  it.each([
    ['tinySd1', 'safetensors'],
    ['tinySd2', 'ckpt'],
    ['tinySd1', 'ckpt'],
    ['tinySd2', 'safetensors'],
  ] as const)('hold the formula weights of %s as %s', async (name, extension) => {
    const folder = process.env.NOISEWRIGHT_WRITE_CHECKPOINTS || (await makeFolder())
    await mkdir(folder, { recursive: true })
    const config = tinyConfigs[name]
    const path = join(folder, `${name}.${extension}`)
    const models = new StableDiffusion(config, (part) => formulaWeights(prefixes[part]))
    await saveLdmCheckpoint(path, models, { epoch: 3, globalStep: 7 })
    const key = 'down_blocks.1.attentions.0.proj_in.weight'
    const expected = await models.unet.registry.parameters.get(key)!.tensor.read()
    models.dispose()
    const loaded = await loadLdmCheckpoint(path, { sizes: sizesOf(config) })
    expect(await loaded.models.unet.registry.parameters.get(key)!.tensor.read()).toEqual(expected)
    loaded.models.dispose()
  })
})
