import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { Vae } from '../../lib/models/stableDiffusion/vae.ts'
import { zeros } from '../../lib/tensor/create.ts'
import { expectDigest } from '../support/digest.ts'
import { loadModelFixture } from '../support/modelFixture.ts'
import { expectGradients, formulaInput, formulaWeights, tinyConfigs, trainAll } from '../support/tinyModels.ts'

const forwardTolerance = { rms: 1e-5, max: 1e-4 }
const gradientTolerance = { rms: 1e-4, max: 1e-3 }
const encoding = (name: string): boolean => name.startsWith('encoder.') || name.startsWith('quant_conv.')

describe.each(['tinySd1', 'tinySd2'] as const)('the VAE of %s', (name) => {
  const { vaeEncoder, vaeDecoder } = loadModelFixture(name)

  it('encodes as diffusers does, with every gradient', async () => {
    const vae = new Vae(tinyConfigs[name].vae, formulaWeights('vae'))
    trainAll(vae.registry)
    const image = formulaInput(`${name}/vaeEncoder/image`, vaeEncoder.input)
    image.requiresGrad = true
    const moments = vae.encode(image)
    expectDigest((await moments.read()) as Float32Array, vaeEncoder.moments, forwardTolerance)
    backward(moments, formulaInput(`${name}/vaeEncoder/dy`, moments.shape))
    expectDigest((await image.grad!.read()) as Float32Array, vaeEncoder.dx, gradientTolerance)
    await expectGradients(vae.registry, 'vae', vaeEncoder.gradients, gradientTolerance, encoding)
    vae.dispose()
  })

  it('decodes as diffusers does, with every gradient', async () => {
    const vae = new Vae(tinyConfigs[name].vae, formulaWeights('vae'))
    trainAll(vae.registry)
    const latents = formulaInput(`${name}/vaeDecoder/latents`, vaeDecoder.input)
    latents.requiresGrad = true
    const image = vae.decode(latents)
    expectDigest((await image.read()) as Float32Array, vaeDecoder.image, forwardTolerance)
    backward(image, formulaInput(`${name}/vaeDecoder/dy`, image.shape))
    expectDigest((await latents.grad!.read()) as Float32Array, vaeDecoder.dx, gradientTolerance)
    await expectGradients(vae.registry, 'vae', vaeDecoder.gradients, gradientTolerance, (p) => !encoding(p))
    vae.dispose()
  })

  it('rejects pictures that its levels cannot halve', () => {
    const vae = new Vae(tinyConfigs[name].vae, formulaWeights('vae'))
    expect(() => vae.encode(zeros([1, 60, 64, 3]))).toThrow('divisible by 8, received [1, 60, 64, 3]')
    vae.dispose()
  })
})
