import { join } from 'node:path'
import { expect, it } from 'vitest'
import { saveDiffusersFolder } from '../../lib/checkpoints/diffusersFolder.ts'
import { type ModelFingerprints, modelFingerprints } from '../../lib/checkpoints/modelFingerprints.ts'
import { openModel } from '../../lib/checkpoints/modelSource.ts'
import { saveLdmCheckpoint } from '../../lib/checkpoints/saveLdmCheckpoint.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import { copyInto } from '../../lib/ops/accumulate.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { sizesOf, small2 } from '../support/checkpoints.ts'
import { makeFolder } from '../support/pictures.ts'

async function fingerprintsOf(path: string): Promise<ModelFingerprints> {
  const source = await openModel(path, { sizes: sizesOf(small2) })
  return modelFingerprints(source).finally(() => source.close())
}

it('the same model in a folder and in a file has the same fingerprints; one number makes another part, and so does a type', async () => {
  const folder = await makeFolder()
  const models = new StableDiffusion(small2, () => randomWeights(1))
  const path = (name: string): string => join(folder, name)
  try {
    await saveDiffusersFolder(path('folder'), models)
    await saveLdmCheckpoint(path('file.safetensors'), models)
    await saveLdmCheckpoint(path('file.ckpt'), models)
    await saveLdmCheckpoint(path('half.safetensors'), models, { precision: 'fp16' })
    const { tensor: weight, shape } = models.unet.registry.parameters.get('conv_in.weight')!
    const values = (await weight.read()).slice() as Float32Array
    values[0]! += 1e-6
    const changed = tensor(values, shape)
    copyInto(weight, changed)
    changed.dispose()
    await saveLdmCheckpoint(path('other.safetensors'), models)
  } finally {
    models.dispose()
  }
  const before = await fingerprintsOf(path('folder'))
  expect(await fingerprintsOf(path('file.safetensors'))).toEqual(before)
  expect(await fingerprintsOf(path('file.ckpt'))).toEqual(before)
  const { unet, ...others } = await fingerprintsOf(path('other.safetensors'))
  expect(unet).not.toBe(before.unet)
  expect({ unet: before.unet, ...others }).toEqual(before)
  expect((await fingerprintsOf(path('half.safetensors'))).vae).not.toBe(before.vae)
})
