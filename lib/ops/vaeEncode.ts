import { addon } from '../native/load.ts'
import { markCall } from '../tensor/callSite.ts'
import { expectSameDevice } from '../tensor/device.ts'
import { formatShape, type Shape } from '../tensor/shape.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectDivisible, expectDType, expectFloat, expectOption, expectRank, expectShape } from './check.ts'

export interface VaeEncoderSizes {
  /** Of each level, outermost first; every level but the last halves height and width. */
  readonly channels: readonly number[]
  /** Resnets of a level. */
  readonly layers: number
  readonly latentChannels: number
}

export interface VaeEncodeOptions extends VaeEncoderSizes {
  /** Of every normalisation. */
  readonly groups: number
  /** Of every normalisation. Default 1e-6. */
  readonly eps?: number
  /** Rows that are convolved at a time, rounded up to a multiple of 4. The result does not depend on it. Default: chosen by size. */
  readonly bandRows?: number
}

export interface VaeEncodeParameter {
  /** As in diffusers' checkpoints of AutoencoderKL. */
  readonly name: string
  /** In memory. */
  readonly shape: Shape
}

/** The parameters that `vaeEncode` takes, in its order. */
export function vaeEncodeParameters({
  channels,
  layers,
  latentChannels,
}: VaeEncoderSizes): readonly VaeEncodeParameter[] {
  const list: VaeEncodeParameter[] = []
  const add = (name: string, ...shape: number[]): void => {
    list.push({ name: `${name}.weight`, shape }, { name: `${name}.bias`, shape: [shape[0]!] })
  }
  const resnet = (name: string, from: number, to: number): void => {
    add(`${name}.norm1`, from)
    add(`${name}.conv1`, to, 3, 3, from)
    add(`${name}.norm2`, to)
    add(`${name}.conv2`, to, 3, 3, to)
    if (from !== to) add(`${name}.conv_shortcut`, to, 1, 1, from)
  }
  const last = channels.at(-1)!
  add('encoder.conv_in', channels[0]!, 3, 3, 3)
  channels.forEach((to, level) => {
    const from = channels[Math.max(0, level - 1)]!
    for (let i = 0; i < layers; i++) resnet(`encoder.down_blocks.${level}.resnets.${i}`, i === 0 ? from : to, to)
    if (level < channels.length - 1) add(`encoder.down_blocks.${level}.downsamplers.0.conv`, to, 3, 3, to)
  })
  add('encoder.mid_block.attentions.0.group_norm', last)
  for (const name of ['to_q', 'to_k', 'to_v', 'to_out.0']) add(`encoder.mid_block.attentions.0.${name}`, last, last)
  for (const i of [0, 1]) resnet(`encoder.mid_block.resnets.${i}`, last, last)
  add('encoder.conv_norm_out', last)
  add('encoder.conv_out', 2 * latentChannels, 3, 3, last)
  add('quant_conv', 2 * latentChannels, 1, 1, 2 * latentChannels)
  return list
}

/**
 * The encoder of the Stable Diffusion autoencoder (Rombach et al., 2022) and its quant_conv as one native call, for inference: not
 * differentiable. Picture by picture, and band by band of rows within a layer, without seams: normalisation uses the statistics of whole
 * tensors. Two activations of full size are alive at most. Activations are of the type of `parameters`, sums and statistics
 * float32; 3x3 convolutions use the fast algorithm where `conv2d` does.
 * @param pixels [n, h, w, 3], uint8 (0 to 255), or float32 in [-1, 1]; h and w divisible by 2^(levels - 1)
 * @param parameters those that `vaeEncodeParameters` lists
 * @returns [mean ; log variance] of the latents, float32 [n, h/8, w/8, 2 * latentChannels] for four levels
 * @throws ArgumentError for sizes that do not fit together, or tensors of two devices
 */
export function vaeEncode(pixels: Tensor, parameters: readonly Tensor[], options: VaeEncodeOptions): Tensor {
  const { channels, layers, groups, eps = 1e-6, bandRows = 0 } = options
  const isCount = (x: number): boolean => Number.isInteger(x) && x > 0
  expectOption('vaeEncode', 'channels', channels.length > 0 && channels.every(isCount), 'one count or more', channels)
  for (const count of channels) expectDivisible('vaeEncode', 'channels', count, 'groups', groups)
  expectOption('vaeEncode', 'channels', channels.at(-1)! % 8 === 0, 'a multiple of 8 in the last level', channels)
  expectOption('vaeEncode', 'layers', isCount(layers), '1 or more', layers)
  expectOption('vaeEncode', 'bandRows', bandRows === 0 || isCount(bandRows), 'a count', bandRows)

  expectDType('vaeEncode', 'pixels', pixels, 'uint8', 'float32')
  expectRank('vaeEncode', 'pixels', pixels, 4)
  const reduction = 2 ** (channels.length - 1)
  const [n, h, w, colours] = pixels.shape as readonly [number, number, number, number]
  if (colours !== 3 || n * h * w === 0 || h % reduction || w % reduction)
    throw new ArgumentError(
      'vaeEncode',
      'pixels',
      `of shape [n, h, w, 3] with h and w divisible by ${reduction}`,
      formatShape(pixels.shape),
    )
  expectContiguous('pixels', pixels)

  const expected = vaeEncodeParameters(options)
  if (parameters.length !== expected.length)
    throw new ArgumentError('vaeEncode', 'parameters', `${expected.length} tensors`, String(parameters.length))
  parameters.forEach((parameter, i) => {
    const { name, shape } = expected[i]!
    expectFloat('vaeEncode', name, parameter)
    expectShape('vaeEncode', name, parameter, shape)
    expectContiguous(name, parameter)
    expectSameDevice('vaeEncode', 'pixels', pixels, name, parameter)
  })
  markCall()
  const handles = parameters.map((parameter) => parameter.handle)
  return wrap(addon.vaeEncodeForward(pixels.handle, handles, channels, layers, groups, eps, bandRows))
}

function expectContiguous(name: string, x: Tensor): void {
  if (!x.contiguous)
    throw new ArgumentError('vaeEncode', name, 'contiguous (call contiguous(x))', `strides ${formatShape(x.strides)}`)
}
