import { describe, it } from 'vitest'
import { sd1 } from '../../lib/models/stableDiffusion/config.ts'
import { Vae } from '../../lib/models/stableDiffusion/vae.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import {
  check,
  expectParameterCount,
  type FullCase,
  type FullDType,
  fullDtypes,
  fullInput,
  fullWeights,
  loadFullFixture,
  reportProcess,
} from './fullSize.ts'

interface VaeCase extends FullCase {
  readonly input: readonly number[]
}

const float32 = { rms: 1e-5, max: 1e-4 }
const { cases, parameters } = loadFullFixture<VaeCase>('vae')
reportProcess('vae')

describe.each(fullDtypes)('the VAE of sd1 and sd2 in %s', (dtype) => {
  it('encodes, in one call and layer by layer, and decodes as diffusers does at 512 x 512 and at 448 x 640', async () => {
    const vae = new Vae(sd1.vae, fullWeights('vae'), dtype)
    expectParameterCount(vae.registry, parameters)
    for (const [name, vaeCase] of Object.entries(cases)) {
      const [size, direction] = name.split('/')
      const input = (dtype: FullDType): Tensor =>
        direction === 'encode'
          ? fullInput(`vae/${size}/pixels`, vaeCase.input, dtype, 'uniform')
          : fullInput(`vae/${size}/latents`, vaeCase.input, dtype)
      if (direction === 'decode') {
        await check(vaeCase, dtype, float32, () => vae.decode(input(dtype)))
        continue
      }
      await check(vaeCase, dtype, float32, () => vae.encodePictures(input('float32')))
      await check(vaeCase, dtype, float32, () => vae.encode(input(dtype)))
    }
    vae.dispose()
  })
})
