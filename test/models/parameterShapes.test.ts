import { describe, expect, it } from 'vitest'
import { ClipTextModel } from '../../lib/models/clip/textModel.ts'
import { sd1, sd2, tinySd1, tinySd2 } from '../../lib/models/stableDiffusion/config.ts'
import { type ParameterShape, parameterShapes } from '../../lib/models/stableDiffusion/parameterShapes.ts'
import { UNet } from '../../lib/models/stableDiffusion/unet.ts'
import { Vae } from '../../lib/models/stableDiffusion/vae.ts'
import type { WeightSource } from '../../lib/nn/weights.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { small1, small2 } from '../support/checkpoints.ts'

describe('parameterShapes', () => {
  it.each([
    ['sd1', sd1],
    ['sd2', sd2],
    ['tinySd1', tinySd1],
    ['tinySd2', tinySd2],
    ['small1', small1],
    ['small2', small2],
  ])('lists what the modules of %s ask for, in their order', (_name, config) => {
    const standIn = tensor([0], [1])
    const asked = (make: (source: WeightSource) => unknown): ParameterShape[] => {
      const found: ParameterShape[] = []
      make(({ name, shape, layout }) => {
        found.push({ name, shape: [...shape], layout })
        return standIn
      })
      return found
    }
    expect(parameterShapes('unet', config)).toEqual(asked((source) => new UNet(config.unet, source)))
    expect(parameterShapes('textEncoder', config)).toEqual(
      asked((source) => new ClipTextModel(config.textEncoder, source)),
    )
    expect(parameterShapes('vae', config)).toEqual(asked((source) => new Vae(config.vae, source)))
    standIn.dispose()
  })
})
