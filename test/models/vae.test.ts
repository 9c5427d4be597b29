import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { Vae } from '../../lib/models/stableDiffusion/vae.ts'
import { zeros } from '../../lib/tensor/create.ts'
import { expectDigest } from '../support/digest.ts'
import { loadModelFixture } from '../support/modelFixture.ts'
import { numbers } from '../support/opSuite.ts'
import { expectGradients, formulaInput, formulaWeights, tinyConfigs, trainAll } from '../support/tinyModels.ts'

const forwardTolerance = { float32: { rms: 1e-5, max: 1e-4 }, float16: { rms: 3e-3, max: 3e-2 } }
const gradientTolerance = { float32: { rms: 1e-4, max: 1e-3 }, float16: { rms: 1.4e-2, max: 1.4e-1 } }
const encoding = (name: string): boolean => name.startsWith('encoder.') || name.startsWith('quant_conv.')

describe.each(['tinySd1', 'tinySd2'] as const)('the VAE of %s', (name) => {
  const { vaeEncoder, vaeDecoder } = loadModelFixture(name)

  it.each(['float32', 'float16'] as const)('encodes as diffusers does, with every gradient, in %s', async (dtype) => {
    const vae = new Vae(tinyConfigs[name].vae, formulaWeights('vae'), dtype)
    trainAll(vae.registry)
    const image = formulaInput(`${name}/vaeEncoder/image`, vaeEncoder.input, dtype)
    image.requiresGrad = true
    const moments = vae.encode(image)
    expectDigest(await numbers(moments), vaeEncoder.moments, forwardTolerance[dtype])
    backward(moments, formulaInput(`${name}/vaeEncoder/dy`, moments.shape, dtype))
    expectDigest(await numbers(image.grad!), vaeEncoder.dx, gradientTolerance[dtype])
    await expectGradients(vae.registry, 'vae', vaeEncoder.gradients, gradientTolerance[dtype], encoding)
    vae.dispose()
  })

  it.each(['float32', 'float16'] as const)('decodes as diffusers does, with every gradient, in %s', async (dtype) => {
    const vae = new Vae(tinyConfigs[name].vae, formulaWeights('vae'), dtype)
    trainAll(vae.registry)
    const latents = formulaInput(`${name}/vaeDecoder/latents`, vaeDecoder.input, dtype)
    latents.requiresGrad = true
    const image = vae.decode(latents)
    expectDigest(await numbers(image), vaeDecoder.image, forwardTolerance[dtype])
    backward(image, formulaInput(`${name}/vaeDecoder/dy`, image.shape, dtype))
    expectDigest(await numbers(latents.grad!), vaeDecoder.dx, gradientTolerance[dtype])
    await expectGradients(vae.registry, 'vae', vaeDecoder.gradients, gradientTolerance[dtype], (p) => !encoding(p))
    vae.dispose()
  })

  it('rejects pictures that its levels cannot halve', () => {
    const vae = new Vae(tinyConfigs[name].vae, formulaWeights('vae'))
    expect(() => vae.encode(zeros([1, 60, 64, 3]))).toThrow('divisible by 8, received [1, 60, 64, 3]')
    vae.dispose()
  })
})
