import { noGrad } from '../autograd/tape.ts'
import { DdimSampler } from '../diffusion/ddim.ts'
import type { ClipTokenizer } from '../models/clip/tokenizer.ts'
import { TOKEN_ROW_LENGTH } from '../models/clip/tokenizer.ts'
import type { StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import { contextTensors, type UNetContext } from '../models/stableDiffusion/unet.ts'
import { streamOf } from '../nn/init.ts'
import { add } from '../ops/add.ts'
import { cast } from '../ops/cast.ts'
import { concatBatch } from '../ops/concatBatch.ts'
import { contiguous } from '../ops/contiguous.ts'
import { reshape } from '../ops/reshape.ts'
import { scale } from '../ops/scale.ts'
import { slice } from '../ops/slice.ts'
import { sub } from '../ops/sub.ts'
import { randomNormal, tensor } from '../tensor/create.ts'
import { keep, scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { RgbImage } from './png.ts'
import type { PromptSpec } from './promptSpec.ts'

/** Chunks of 75 tokens that a prompt may fill; what is longer is cut. */
const maxChunks = 3

export interface SampleOptions {
  /** Hidden state of the text encoder, counted from the end. Default 1. */
  readonly clipSkip?: number
  /** Used when the prompt has no seed of its own. */
  readonly seed: number | bigint
  /**
   * Aborting it rejects with its reason before the next denoising step, or before the latents are decoded. A step under way
   * and the decoding run to their end: the device takes nothing back.
   */
  readonly signal?: AbortSignal | undefined
}

/**
 * Draws one picture: DDIM with classifier-free guidance (Ho and Salimans, 2022). Nothing is recorded for gradients.
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
  const [height, width] = [prompt.height / vae.reduction, prompt.width / vae.reduction]
  const texts = guided ? [prompt.negativePrompt, prompt.prompt] : [prompt.prompt]
  const context = forEachLayer(tokenizer, (one) => encodePrompts(models, one, texts, options.clipSkip ?? 1))
  const sampler = new DdimSampler({ steps: prompt.steps, predictionType: config.predictionType })
  const shape = [1, height, width, config.unet.inChannels]
  let latents = keep(randomNormal(shape, { seed: prompt.seed ?? options.seed, stream: streamOf('preview') }))
  try {
    for (const [index, time] of sampler.timesteps.entries()) {
      options.signal?.throwIfAborted()
      const next = noGrad(() =>
        scope(() => {
          const input = cast(guided ? concatBatch([latents, latents]) : latents, { dtype: unet.registry.dtype })
          const times = tensor(new Array<number>(input.dim(0)).fill(time), [input.dim(0)])
          const output = cast(unet.forward(input, times, context), { dtype: 'float32' })
          return sampler.step(index, latents, guided ? guide(output, prompt.scale) : output)
        }),
      )
      latents.dispose()
      latents = keep(next)
      // One step at a time: a preview must not fill the queue in front of whoever else uses the device.
      const fence = tensor([0], [1])
      await fence.read()
      fence.dispose()
    }
    options.signal?.throwIfAborted()
    const pixels = noGrad(() =>
      scope(() => {
        const unscaled = cast(scale(latents, { factor: 1 / config.vae.scalingFactor }), { dtype: vae.registry.dtype })
        return cast(vae.decode(unscaled), { dtype: 'float32' })
      }),
    )
    const values = (await pixels.read()) as Float32Array
    pixels.dispose()
    return { width: prompt.width, height: prompt.height, pixels: toBytes(values) }
  } finally {
    latents.dispose()
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

/** Hidden states of prompts, [n, 77 * chunks, d]: as many chunks of 75 tokens as the longest needs, each with its start and end. */
function encodePrompts(
  { textEncoder, unet }: StableDiffusion,
  tokenizer: ClipTokenizer,
  texts: readonly string[],
  clipSkip: number,
): Tensor {
  const inner = TOKEN_ROW_LENGTH - 2
  const contents = texts.map((text) => tokenizer.encode(text).slice(0, inner * maxChunks))
  const chunks = Math.max(1, ...contents.map((ids) => Math.ceil(ids.length / inner)))
  const rows = new Int32Array(texts.length * chunks * TOKEN_ROW_LENGTH)
  contents.forEach((ids, i) => {
    for (let chunk = 0; chunk < chunks; chunk++) {
      const row = rows.subarray((i * chunks + chunk) * TOKEN_ROW_LENGTH, (i * chunks + chunk + 1) * TOKEN_ROW_LENGTH)
      row.set(tokenizer.row(ids.slice(chunk * inner, (chunk + 1) * inner)))
    }
  })
  return keep(
    noGrad(() =>
      scope(() => {
        const hidden = textEncoder.encode(tensor(rows, [texts.length * chunks, TOKEN_ROW_LENGTH]), clipSkip)
        const joined = reshape(hidden, { shape: [texts.length, chunks * TOKEN_ROW_LENGTH, hidden.dim(2)] })
        return cast(joined, { dtype: unet.registry.dtype })
      }),
    ),
  )
}

/** [-1, 1] to 0..255, rounded half to even. */
function toBytes(values: Float32Array): Uint8Array {
  const bytes = new Uint8ClampedArray(values.length) // its conversion clamps and rounds half to even
  for (let i = 0; i < values.length; i++) bytes[i] = values[i]! * 127.5 + 127.5
  return new Uint8Array(bytes.buffer)
}
