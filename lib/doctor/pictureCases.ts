/** Pictures on their way to latents: levels, sizes, hues, and the encoder. */
import { imageToTensor } from '../ops/imageToTensor.ts'
import { lookupTable } from '../ops/lookupTable.ts'
import { resizeImage } from '../ops/resizeImage.ts'
import { shiftHue } from '../ops/shiftHue.ts'
import { type VaeEncodeOptions, vaeEncode, vaeEncodeParameters } from '../ops/vaeEncode.ts'
import { elementCount, type Shape } from '../tensor/shape.ts'
import { type CaseInput, type CaseSize, float32Only, type KernelCase } from './kernelCase.ts'

interface Sizes {
  readonly picture: Shape
  readonly encoder: VaeEncodeOptions
  /** Of the picture that is encoded. */
  readonly side: number
}

const sizes: Readonly<Record<CaseSize, Sizes>> = {
  small: { picture: [30, 40, 3], encoder: { channels: [16, 32], layers: 1, latentChannels: 4, groups: 8 }, side: 16 },
  // Half the side of a picture of Stable Diffusion 1.5: the CPU computes it in float32, whatever the dtype under test.
  full: {
    picture: [1024, 1536, 3],
    encoder: { channels: [128, 256, 512, 512], layers: 2, latentChannels: 4, groups: 32 },
    side: 256,
  },
}

/** Levels of a picture. */
const levels = (shape: Shape): CaseInput => ({ shape, dtype: 'uint8', at: (i) => ((i * i) >> 5) & 255 })

function dataCases(picture: Shape): readonly KernelCase[] {
  const [height, width] = [picture[0]! >> 1, picture[1]! >> 1]
  const common = { inputs: [levels(picture)], forward: 'element', dtypes: float32Only } as const
  return [
    { op: 'resizeImage, area', ...common, run: ([x]) => resizeImage(x!, { width, height }) },
    { op: 'resizeImage, lanczos', ...common, run: ([x]) => resizeImage(x!, { width, height, method: 'lanczos' }) },
    { op: 'resizeImage, cubic', ...common, run: ([x]) => resizeImage(x!, { width, height, method: 'cubic' }) },
    { op: 'shiftHue', ...common, run: ([x]) => shiftHue(x!, { shift: -17.5 }) },
    { op: 'imageToTensor', ...common, run: ([x]) => imageToTensor(x!, { flip: true }) },
    {
      op: 'lookupTable',
      ...common,
      inputs: [levels(picture), { shape: [256], dtype: 'uint8', at: (i) => 255 - i }],
      run: ([x, table]) => lookupTable(x!, table!),
    },
  ]
}

/** Products of convolutions, projections and attention. */
function encoderFlops(encoder: VaeEncodeOptions, side: number): number {
  const last = encoder.channels.length - 1
  const pixelsOf = (level: number): number => (side / 2 ** level) ** 2
  const levelOf = (name: string): number => {
    const [, level, kind] = /^encoder\.down_blocks\.(\d+)\.(\w+)/.exec(name) ?? []
    if (level === undefined) return name.startsWith('encoder.conv_in') ? 0 : last
    return Number(level) + (kind === 'downsamplers' ? 1 : 0)
  }
  return vaeEncodeParameters(encoder)
    .filter(({ shape }) => shape.length > 1)
    .reduce(
      (sum, { name, shape }) => sum + 2 * elementCount(shape) * pixelsOf(levelOf(name)),
      4 * pixelsOf(last) ** 2 * encoder.channels[last]!,
    )
}

/** Weights are scaled so that activations keep their size; those of norms are near 1. */
function encoderInput({ name, shape }: { readonly name: string; readonly shape: Shape }): CaseInput {
  if (shape.length > 1) return { shape, scale: (elementCount(shape) / shape[0]!) ** -0.5 }
  return name.endsWith('.bias') ? { shape, scale: 0.1 } : { shape, at: (i) => 0.8 + (i % 5) / 10 }
}

function encoderCase(encoder: VaeEncodeOptions, side: number): KernelCase {
  return {
    op: 'vaeEncode',
    inputs: [levels([1, side, side, 3]), ...vaeEncodeParameters(encoder).map(encoderInput)],
    run: ([pixels, ...parameters]) => vaeEncode(pixels!, parameters, encoder),
    forward: 'encoder',
    flops: { forward: encoderFlops(encoder, side), backward: 0 },
  }
}

/** The cases of a size. */
export function pictureCases(size: CaseSize): readonly KernelCase[] {
  const { picture, encoder, side } = sizes[size]
  return [...dataCases(picture), encoderCase(encoder, side)]
}
