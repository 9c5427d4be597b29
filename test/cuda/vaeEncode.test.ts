/** The encoder of the autoencoder on the GPU, in the emulation. */
import { describe, it } from 'vitest'
import { noGrad } from '../../lib/autograd/tape.ts'
import { Vae } from '../../lib/models/stableDiffusion/vae.ts'
import { vaeEncode, vaeEncodeParameters } from '../../lib/ops/vaeEncode.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { expectCloseOnGpu } from '../support/closeOnGpu.ts'
import { canEmulate } from '../support/emulatedGpu.ts'
import { numbers, roundedTensor } from '../support/opSuite.ts'
import { formulaWeights, tinyConfigs } from '../support/tinyModels.ts'

const config = tinyConfigs.tinySd1.vae
const options = {
  channels: config.blockOutChannels,
  layers: config.layersPerBlock,
  latentChannels: config.latentChannels,
  groups: config.groups,
}

describe.runIf(canEmulate)('vaeEncode on the GPU', () => {
  // Pictures of bytes and of floats, bands of some rows and of all.
  it.each([
    ['float32', [1, 24, 16], 4, { rms: 1e-5, max: 1e-4 }],
    ['bfloat16', [2, 8, 8], 0, { rms: 1.5e-2, max: 1e-1 }],
    ['float16', [1, 16, 8], 4, { rms: 3e-3, max: 2e-2 }],
  ] as const)('gives what the CPU gives in %s', async (dtype, size, bandRows, tolerance) => {
    const vae = new Vae(config, formulaWeights('vae'))
    const weights = await Promise.all(
      vaeEncodeParameters(options).map(async ({ name, shape }) => {
        return { shape, values: await numbers(vae.registry.parameters.get(name)!.tensor) }
      }),
    )
    const bytes = Uint8Array.from({ length: size[0] * size[1] * size[2] * 3 }, (_, i) => (i * 7 + (i % 3) * 50) & 255)
    await expectCloseOnGpu(
      (device) =>
        noGrad(() => {
          const parameters = weights.map(({ values, shape }) => roundedTensor(values, shape, dtype, device))
          const given = dtype === 'float16' ? Float32Array.from(bytes, (x) => x / 127.5 - 1) : bytes
          const pixels = tensor(given, [...size, 3], { device })
          return [vaeEncode(pixels, parameters, bandRows ? { ...options, bandRows } : options)]
        }),
      [tolerance],
    )
    vae.dispose()
  })
})
