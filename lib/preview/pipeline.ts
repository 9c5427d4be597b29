import { noGrad } from '../autograd/tape.ts'
import type { SamplerName } from '../config/samplerNames.ts'
import { createSampler } from '../diffusion/samplers/createSampler.ts'
import type { ClipTokenizer } from '../models/clip/tokenizer.ts'
import type { StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import { contextTensors, type UNetContext } from '../models/stableDiffusion/unet.ts'
import { streamOf } from '../nn/init.ts'
import { add } from '../ops/add.ts'
import { cast } from '../ops/cast.ts'
import { concatBatch } from '../ops/concatBatch.ts'
import { contiguous } from '../ops/contiguous.ts'
import { scale } from '../ops/scale.ts'
import { slice } from '../ops/slice.ts'
import { sub } from '../ops/sub.ts'
import { randomNormal, tensor } from '../tensor/create.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type EncodePromptsOptions, encodePrompts } from './encodePrompts.ts'
import type { RgbImage } from './png.ts'
import type { PromptSpec } from './promptSpec.ts'

export interface SampleOptions extends EncodePromptsOptions {
  /** Used when the prompt names no sampler of its own. Default `ddim`. */
  readonly sampler?: SamplerName
  /** Used when the prompt has no seed of its own. */
  readonly seed: number | bigint
  /**
   * Aborting it rejects with its reason before the next denoising step, or before the latents are decoded. A step under way
   * and the decoding run to their end: the device takes nothing back.
   */
  readonly signal?: AbortSignal | undefined
}

/**
 * Draws one picture with classifier-free guidance (Ho and Salimans, 2022). Nothing is recorded for gradients.
 * @throws ArgumentError for steps that the sampler does not take
 * @param tokenizer one, or as many as the U-Net has cross-attention layers: see `InversionNetwork.tokenizers`
 */
export async function samplePicture(
  models: StableDiffusion,
  tokenizer: ClipTokenizer | readonly ClipTokenizer[],
  prompt: PromptSpec,
  options: SampleOptions,
): Promise<RgbImage> {
  const { unet, vae, config } = models
  const guided = prompt.scale > 1
  const sampler = createSampler(prompt.sampler ?? options.sampler ?? 'ddim', {
    steps: prompt.steps,
    predictionType: config.predictionType,
  })
  const texts = guided ? [prompt.negativePrompt, prompt.prompt] : [prompt.prompt]
  const context = forEachLayer(tokenizer, (one) => encodePrompts(models, one, texts, options))
  const seed = prompt.seed ?? options.seed
  const shape = [1, prompt.height / vae.reduction, prompt.width / vae.reduction, config.unet.inChannels]
  const { device } = unet.registry
  const noise = { seed, stream: streamOf('preview'), device }
  const run = scope(() => sampler.start(randomNormal(shape, noise), { seed }))
  try {
    while (!run.done) {
      options.signal?.throwIfAborted()
      noGrad(() =>
        scope(() => {
          const latents = run.input()
          const input = cast(guided ? concatBatch([latents, latents]) : latents, { dtype: unet.registry.dtype })
          const times = tensor(new Array<number>(input.dim(0)).fill(run.time), [input.dim(0)], { device })
          const output = cast(unet.forward(input, times, context), { dtype: 'float32' })
          run.proceed(guided ? guide(output, prompt.scale) : output)
        }),
      )
      // One step at a time: a preview must not fill the queue in front of whoever else uses the device.
      const fence = tensor([0], [1], { device })
      await fence.read()
      fence.dispose()
    }
    options.signal?.throwIfAborted()
    const pixels = noGrad(() =>
      scope(() => {
        const unscaled = scale(run.latents, { factor: 1 / config.vae.scalingFactor })
        return cast(vae.decode(cast(unscaled, { dtype: vae.registry.dtype })), { dtype: 'float32' })
      }),
    )
    const values = (await pixels.read()) as Float32Array
    pixels.dispose()
    return { width: prompt.width, height: prompt.height, pixels: toBytes(values) }
  } finally {
    run.dispose()
    for (const states of contextTensors(context)) states.dispose()
  }
}

/** uncond + scale (cond - uncond) of [uncond ; cond] on the first axis. */
function guide(output: Tensor, guidance: number): Tensor {
  const half = (start: number): Tensor => contiguous(slice(output, { axis: 0, start, end: start + 1 }))
  const unconditional = half(0)
  return add(unconditional, scale(sub(half(1), unconditional), { factor: guidance }))
}

/** With one tokenizer, or a list of one, a context for all layers; with more, one for each. */
function forEachLayer(
  tokenizer: ClipTokenizer | readonly ClipTokenizer[],
  encode: (tokenizer: ClipTokenizer) => Tensor,
): UNetContext {
  if ('encode' in tokenizer) return encode(tokenizer)
  return tokenizer.length === 1 ? encode(tokenizer[0]!) : tokenizer.map(encode)
}

/** [-1, 1] to 0..255, rounded half to even. */
function toBytes(values: Float32Array): Uint8Array {
  const bytes = new Uint8ClampedArray(values.length) // its conversion clamps and rounds half to even
  for (let i = 0; i < values.length; i++) bytes[i] = values[i]! * 127.5 + 127.5
  return new Uint8Array(bytes.buffer)
}
