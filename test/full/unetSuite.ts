import { describe, it } from 'vitest'
import { sd1, sd2 } from '../../lib/models/stableDiffusion/config.ts'
import { UNet } from '../../lib/models/stableDiffusion/unet.ts'
import { tensor } from '../../lib/tensor/create.ts'
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

interface UnetCase extends FullCase {
  readonly latents: readonly number[]
  readonly context: readonly number[]
  readonly timestep: number
}

const float32 = { rms: 2e-5, max: 2e-4 }

/** The U-Net of one version at both sizes, in both types; the second size takes the context of a caption of 225 tokens. */
export function testUnet(version: 'sd1' | 'sd2'): void {
  const file = `${version}Unet`
  const { cases, parameters } = loadFullFixture<UnetCase>(file)
  reportProcess(file)

  describe.each(fullDtypes)(`the U-Net of ${version} in %s`, (dtype) => {
    it('agrees with diffusers at 512 x 512 and at 448 x 640', async () => {
      const unet = new UNet({ sd1, sd2 }[version].unet, fullWeights('unet'), dtype)
      expectParameterCount(unet.registry, parameters)
      for (const [size, unetCase] of Object.entries(cases)) {
        const { latents, context, timestep } = unetCase
        await check(unetCase, dtype, float32, () =>
          unet.forward(
            fullInput(`${file}/${size}/latents`, latents, dtype),
            tensor([timestep], [1]),
            fullInput(`${file}/${size}/context`, context, dtype),
          ),
        )
      }
      unet.dispose()
    })
  })
}
