import { describe, it } from 'vitest'
import { sd1 } from '../../lib/models/stableDiffusion/config.ts'
import { Vae } from '../../lib/models/stableDiffusion/vae.ts'
import {
  check,
  expectParameterCount,
  type FullCase,
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
  it('encodes, in one call or layer by layer, and decodes as diffusers does at 512 x 512 and at 448 x 640', async () => {
    const vae = new Vae(sd1.vae, fullWeights('vae'), dtype)
    expectParameterCount(vae.registry, parameters)
    for (const size of ['64x64', '56x80']) {
      const encode = cases[`${size}/encode`]!
      const decode = cases[`${size}/decode`]!
      const pixels = `vae/${size}/pixels`
      await check(encode, dtype, float32, () =>
        vae.encodePictures(fullInput(pixels, encode.input, 'float32', 'uniform')),
      )
      await check(encode, dtype, float32, () => vae.encode(fullInput(pixels, encode.input, dtype, 'uniform')))
      await check(decode, dtype, float32, () => vae.decode(fullInput(`vae/${size}/latents`, decode.input, dtype)))
    }
    vae.dispose()
  })
})
