import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { UNet } from '../../lib/models/stableDiffusion/unet.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'
import { scope } from '../../lib/tensor/scope.ts'
import { baselineBuffers, liveBuffers, settled } from '../support/device.ts'
import { expectDigest } from '../support/digest.ts'
import { loadModelFixture } from '../support/modelFixture.ts'
import { numbers } from '../support/opSuite.ts'
import { expectGradients, formulaInput, formulaWeights, tinyConfigs, trainAll } from '../support/tinyModels.ts'

// In float16 weights and inputs are rounded too; the cosine between two gradients that differ by 1.4e-2 is 0.9999.
const forwardTolerance = { float32: { rms: 2e-5, max: 2e-4 }, float16: { rms: 4e-3, max: 4e-2 } }
const gradientTolerance = { float32: { rms: 1e-4, max: 1e-3 }, float16: { rms: 1.4e-2, max: 1.4e-1 } }

describe.each(['tinySd1', 'tinySd2'] as const)('the U-Net of %s', (name) => {
  const fixture = loadModelFixture(name)

  it.each([
    ['unet', 'float32', false],
    ['unet', 'float32', true],
    ['unetOddWidth', 'float32', false],
    ['unet', 'float16', false],
    ['unetOddWidth', 'float16', true],
  ] as const)(
    'agrees with diffusers, outputs and every gradient (%s in %s, checkpointing %s)',
    async (sectionName, dtype, checkpointing) => {
      const section = fixture[sectionName]
      const unet = new UNet(tinyConfigs[name].unet, formulaWeights('unet'), dtype)
      unet.gradientCheckpointing = checkpointing
      trainAll(unet.registry)
      const latents = formulaInput(`${name}/${sectionName}/latents`, section.latents, dtype)
      const context = formulaInput(`${name}/${sectionName}/context`, section.context, dtype)
      latents.requiresGrad = true
      context.requiresGrad = true
      const times = tensor(Float32Array.from(section.timesteps), [section.timesteps.length])
      const sample = unet.forward(latents, times, context)
      expect(sample.dtype).toBe(dtype)
      expectDigest(await numbers(sample), section.sample, forwardTolerance[dtype])
      backward(sample, formulaInput(`${name}/${sectionName}/dy`, sample.shape, dtype))
      expectDigest(await numbers(latents.grad!), section.dlatents, gradientTolerance[dtype])
      expectDigest(await numbers(context.grad!), section.dcontext, gradientTolerance[dtype])
      await expectGradients(unet.registry, 'unet', section.gradients, gradientTolerance[dtype])
      unet.dispose()
    },
  )

  it('returns live buffers to the baseline after a step', async () => {
    const unet = new UNet(tinyConfigs[name].unet, formulaWeights('unet'))
    trainAll(unet.registry)
    const step = async (): Promise<void> => {
      scope(() => {
        const { latents, context } = fixture.unet
        const sample = unet.forward(
          formulaInput(`${name}/unet/latents`, latents),
          tensor([17, 801], [2]),
          formulaInput(`${name}/unet/context`, context),
        )
        backward(sample, formulaInput(`${name}/unet/dy`, sample.shape))
      })
      for (const { tensor: parameter } of unet.registry.parameters.values()) {
        parameter.grad?.dispose()
        parameter.grad = null
      }
      await settled()
    }
    const baseline = await baselineBuffers()
    for (let i = 0; i < 3; i++) {
      await step()
      expect(await liveBuffers()).toBeLessThanOrEqual(baseline)
    }
    unet.dispose()
  })

  it('gives the same bits in turns, one after each level, and leaves nothing behind', async () => {
    const unet = new UNet(tinyConfigs[name].unet, formulaWeights('unet'))
    trainAll(unet.registry)
    const inputs = [
      formulaInput(`${name}/unet/latents`, fixture.unet.latents),
      tensor([17, 801], [2]),
      formulaInput(`${name}/unet/context`, fixture.unet.context),
    ] as const
    const baseline = await baselineBuffers()
    let turns = 0
    const turn = async (): Promise<void> => {
      turns++
    }
    const sliced = await unet.forwardInTurns(...inputs, { turn, budgetMs: -1 })
    expect(turns).toBe(9) // four levels down, the middle, four up
    expect(sliced.origin).not.toBeNull()
    const whole = scope(() => unet.forward(...inputs))
    expect(await sliced.read()).toEqual(await whole.read())
    for (const result of [sliced, whole]) {
      scope(() => backward(result, zeros(result.shape)))
      result.dispose()
    }
    for (const { tensor: parameter } of unet.registry.parameters.values()) {
      parameter.grad?.dispose()
      parameter.grad = null
    }
    expect(await liveBuffers()).toBe(baseline)
    const stopped = unet.forwardInTurns(...inputs, { turn: () => Promise.reject(new Error('stop')), budgetMs: -1 })
    await expect(stopped).rejects.toThrow('stop')
    expect(await liveBuffers()).toBe(baseline)
    unet.dispose()
  })

  it('rejects latents it cannot take', () => {
    const unet = new UNet(tinyConfigs[name].unet, formulaWeights('unet'))
    expect(() => unet.forward(zeros([1, 8, 8, 3]), zeros([1]), zeros([1, 77, 32]))).toThrow('UNet: latents must be')
    expect(() => unet.forward(zeros([1, 8, 8, 4]), zeros([1]), zeros([2, 77, 32]))).toThrow('UNet: context must be')
    unet.dispose()
  })
})
