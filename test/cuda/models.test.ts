/** The networks of tiny models on the emulated GPU: outputs and every gradient, against what diffusers and transformers compute. */
import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { ClipTextModel } from '../../lib/models/clip/textModel.ts'
import { UNet } from '../../lib/models/stableDiffusion/unet.ts'
import { Vae } from '../../lib/models/stableDiffusion/vae.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import { settled } from '../support/device.ts'
import { expectDigest } from '../support/digest.ts'
import { canEmulate } from '../support/emulatedGpu.ts'
import { loadModelFixture } from '../support/modelFixture.ts'
import { numbers } from '../support/opSuite.ts'
import { expectGradients, formulaInput, formulaWeights, tinyConfigs, trainAll } from '../support/tinyModels.ts'

const device = 'cuda'
const name = 'tinySd1'
const { text, unet: unetSection, vaeEncoder, vaeDecoder } = loadModelFixture(name)
const forwardTolerance = { float32: { rms: 2e-5, max: 2e-4 }, bfloat16: { rms: 2e-2, max: 2e-1 } }
const gradientTolerance = { float32: { rms: 1e-4, max: 1e-3 }, bfloat16: { rms: 1.1e-1, max: 1.1 } }
const encoding = (parameter: string): boolean => /^(encoder|quant_conv)\./.test(parameter)

describe.runIf(canEmulate)('models on the GPU', () => {
  it('encode captions, with every gradient', async () => {
    const model = new ClipTextModel(tinyConfigs[name].textEncoder, formulaWeights('text_encoder', device))
    trainAll(model.registry)
    // Its gradient takes a block of threads for each of 49,408 rows; test/cuda/ops.test.ts has that kernel.
    model.tokenEmbedding.requiresGrad = false
    const learns = (parameter: string): boolean => !parameter.endsWith('token_embedding.weight')
    const gradients = Object.fromEntries(Object.entries(text.gradients).filter(([key]) => learns(key)))
    const ids = tensor(Int32Array.from(text.ids.flat()), [text.ids.length, 77], { device })
    const { lastHiddenState } = model.forward(ids)
    expectDigest(await numbers(lastHiddenState), text.lastHidden, { rms: 1e-5, max: 1e-4 })
    backward(lastHiddenState, formulaInput(`${name}/text/dy`, lastHiddenState.shape, 'float32', device))
    await expectGradients(model.registry, 'text_encoder', gradients, gradientTolerance.float32, learns)
    model.dispose()
  })

  it.each(['float32', 'bfloat16'] as const)('find noise, with every gradient, in %s', async (dtype) => {
    const unet = new UNet(tinyConfigs[name].unet, formulaWeights('unet', device), dtype)
    expect(unet.registry.device).toBe(device)
    trainAll(unet.registry)
    const input = (key: 'latents' | 'context') => formulaInput(`${name}/unet/${key}`, unetSection[key], dtype, device)
    const [latents, context] = [input('latents'), input('context')]
    latents.requiresGrad = true
    context.requiresGrad = true
    const times = tensor(Float32Array.from(unetSection.timesteps), [unetSection.timesteps.length], { device })
    await settled() // the CPU's first job sets its threads
    const onCpu = memory().opsRun
    const sample = unet.forward(latents, times, context)
    expectDigest(await numbers(sample), unetSection.sample, forwardTolerance[dtype])
    backward(sample, formulaInput(`${name}/unet/dy`, sample.shape, dtype, device))
    expectDigest(await numbers(latents.grad!), unetSection.dlatents, gradientTolerance[dtype])
    expectDigest(await numbers(context.grad!), unetSection.dcontext, gradientTolerance[dtype])
    expect(memory().opsRun, 'work done by the CPU').toBe(onCpu)
    await expectGradients(unet.registry, 'unet', unetSection.gradients, gradientTolerance[dtype])
    unet.dispose()
  })

  it('encode pictures, with every gradient', async () => {
    const vae = new Vae(tinyConfigs[name].vae, formulaWeights('vae', device))
    trainAll(vae.registry)
    const image = formulaInput(`${name}/vaeEncoder/image`, vaeEncoder.input, 'float32', device)
    image.requiresGrad = true
    const moments = vae.encode(image)
    expectDigest(await numbers(moments), vaeEncoder.moments, { rms: 1e-5, max: 1e-4 })
    backward(moments, formulaInput(`${name}/vaeEncoder/dy`, moments.shape, 'float32', device))
    expectDigest(await numbers(image.grad!), vaeEncoder.dx, gradientTolerance.float32)
    await expectGradients(vae.registry, 'vae', vaeEncoder.gradients, gradientTolerance.float32, encoding)
    const data = vae.encodePictures(image)
    expectDigest(await numbers(data), vaeEncoder.moments, { rms: 1e-5, max: 1e-4 })
    expect(data.tracked).toBe(false)
    vae.dispose()
  })

  it('decode latents, with every gradient', async () => {
    const vae = new Vae(tinyConfigs[name].vae, formulaWeights('vae', device))
    trainAll(vae.registry)
    const latents = formulaInput(`${name}/vaeDecoder/latents`, vaeDecoder.input, 'float32', device)
    latents.requiresGrad = true
    const image = vae.decode(latents)
    expectDigest(await numbers(image), vaeDecoder.image, { rms: 1e-5, max: 1e-4 })
    backward(image, formulaInput(`${name}/vaeDecoder/dy`, image.shape, 'float32', device))
    expectDigest(await numbers(latents.grad!), vaeDecoder.dx, gradientTolerance.float32)
    await expectGradients(vae.registry, 'vae', vaeDecoder.gradients, gradientTolerance.float32, (p) => !encoding(p))
    vae.dispose()
  })
})
