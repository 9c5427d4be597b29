/** Products, convolutions and attention. */
import { attention } from '../ops/attention.ts'
import { type Conv2dOptions, conv2d } from '../ops/conv2d.ts'
import { type LinearOptions, linear } from '../ops/linear.ts'
import { matmul } from '../ops/matmul.ts'
import { type CaseSize, float32Only, type KernelCase } from './kernelCase.ts'

/** Weights are scaled so that results are of about the size of their inputs. */
const fan = (inputs: number): number => inputs ** -0.5

function linearCase(rows: number, size: number, out: number, activation?: LinearOptions['activation']): KernelCase {
  return {
    op: activation ? `linear, bias, ${activation}, residual` : 'linear',
    inputs: [
      { shape: [rows, size] },
      { shape: [out, size], scale: fan(size) },
      ...(activation ? [{ shape: [out] }, { shape: [rows, out] }] : []),
    ],
    run: ([x, weight, bias = null, residual = null]) =>
      linear(x!, weight!, bias, residual, null, null, activation ? { activation } : {}),
    forward: 'product',
    backward: activation ? 'productGradient' : 'product',
    flops: { forward: 2 * rows * size * out, backward: 4 * rows * size * out },
  }
}

/** @param stored of the weight. Default: the dtype under test */
function loraCase(rows: number, size: number, out: number, rank: number, stored?: 'float8_e4m3fn'): KernelCase {
  const branch = 2 * rows * rank * (size + out)
  return {
    op: `linear, LoRA of rank ${rank}${stored ? ', weight in 8 bits' : ''}`,
    inputs: [
      { shape: [rows, size] },
      { shape: [out, size], scale: fan(size), gradient: false, ...(stored && { dtype: stored }) },
      { shape: [rank, size], scale: fan(size), dtype: 'float32' },
      { shape: [out, rank], scale: fan(rank), dtype: 'float32' },
    ],
    run: ([x, weight, down, up]) => linear(x!, weight!, null, null, down!, up!),
    forward: 'productGradient',
    backward: 'productGradient',
    flops: { forward: 2 * rows * size * out + branch, backward: 2 * rows * size * out + 2 * branch },
  }
}

interface ConvolutionShape extends Conv2dOptions {
  readonly size: number
  readonly channels: readonly [from: number, to: number]
  readonly kernel?: 1 | 3
}

function convolutionCase({ size, channels, kernel = 3, ...options }: ConvolutionShape): KernelCase {
  const [ci, co] = channels
  const out = (size * (options.upsample ? 2 : 1)) / (options.stride ?? 1)
  const flops = 2 * out * out * co * ci * kernel * kernel
  const { exact = true, ...others } = options
  const details = [...Object.entries(others).map(([name, value]) => `, ${name} ${value}`), exact ? '' : ', fast']
  return {
    op: `conv2d ${kernel}x${kernel}${details.join('')}`,
    inputs: [
      { shape: [1, size, size, ci] },
      { shape: [co, kernel, kernel, ci], scale: fan(ci * kernel * kernel) },
      { shape: [co] },
    ],
    run: ([x, weight, bias]) =>
      conv2d(x!, weight!, bias!, null, null, { ...others, exact, padding: kernel === 3 ? 1 : 0 }),
    forward: exact ? 'product' : 'fastConvolution',
    // The gradient of an enlarged input adds four results that were rounded.
    backward: options.upsample ? 'productGradient' : exact ? 'product' : 'fastConvolution',
    ...(exact ? {} : { dtypes: float32Only }),
    flops: { forward: flops, backward: 2 * flops },
  }
}

function attentionCase(queries: number, keys: number, heads: number, size: number, causal = false): KernelCase {
  const flops = 4 * queries * keys * heads * size * (causal ? 0.5 : 1)
  const width = heads * size
  return {
    op: `attention, ${heads} of ${size}${causal ? ', causal' : ''}`,
    inputs: [{ shape: [1, queries, width] }, { shape: [1, keys, width] }, { shape: [1, keys, width] }],
    run: ([q, k, v]) => attention(q!, k!, v!, { heads, causal }),
    forward: 'attention',
    backward: 'attentionGradient',
    // Five products of the forward pass's two.
    flops: { forward: flops, backward: 2.5 * flops },
  }
}

function matmulCase(batch: number, m: number, n: number, k: number, transposeB: boolean): KernelCase {
  return {
    op: transposeB ? 'matmul, b transposed' : 'matmul',
    inputs: [{ shape: [batch, m, k] }, { shape: transposeB ? [batch, n, k] : [batch, k, n], scale: fan(k) }],
    run: ([a, b]) => matmul(a!, b!, { transposeB }),
    forward: 'product',
    backward: 'product',
    flops: { forward: 2 * batch * m * n * k, backward: 4 * batch * m * n * k },
  }
}

const smallCases: readonly KernelCase[] = [
  matmulCase(2, 33, 40, 24, false),
  matmulCase(2, 33, 40, 24, true),
  linearCase(40, 72, 64),
  linearCase(24, 40, 72, 'gelu'),
  loraCase(40, 48, 64, 4),
  loraCase(40, 48, 64, 4, 'float8_e4m3fn'),
  convolutionCase({ size: 8, channels: [16, 24] }),
  convolutionCase({ size: 8, channels: [16, 24], exact: false }),
  convolutionCase({ size: 8, channels: [24, 16], kernel: 1 }),
  convolutionCase({ size: 8, channels: [4, 24], stride: 2 }),
  convolutionCase({ size: 4, channels: [16, 16], upsample: true }),
  attentionCase(70, 77, 2, 40),
  attentionCase(40, 40, 2, 64, true),
  attentionCase(40, 77, 1, 80),
  attentionCase(40, 33, 1, 160),
  attentionCase(24, 24, 1, 512),
  attentionCase(20, 70, 1, 200, true),
]

const fullCases: readonly KernelCase[] = [
  matmulCase(8, 1024, 1024, 80, true),
  matmulCase(8, 1024, 80, 1024, false),
  linearCase(4096, 320, 320),
  linearCase(1024, 640, 5120),
  linearCase(256, 5120, 1280),
  linearCase(77, 768, 3072, 'quickGelu'),
  linearCase(4096, 320, 320, 'silu'),
  loraCase(4096, 320, 320, 16),
  loraCase(4096, 320, 320, 16, 'float8_e4m3fn'),
  convolutionCase({ size: 64, channels: [320, 320] }),
  convolutionCase({ size: 64, channels: [320, 320], exact: false }),
  convolutionCase({ size: 16, channels: [1280, 1280] }),
  convolutionCase({ size: 64, channels: [320, 320], kernel: 1 }),
  convolutionCase({ size: 64, channels: [320, 320], stride: 2 }),
  convolutionCase({ size: 32, channels: [640, 640], upsample: true }),
  convolutionCase({ size: 64, channels: [4, 320] }),
  attentionCase(4096, 4096, 8, 40),
  attentionCase(4096, 77, 8, 40),
  attentionCase(77, 77, 12, 64, true),
  attentionCase(1024, 1024, 8, 80),
  attentionCase(256, 256, 8, 160),
  attentionCase(4096, 4096, 1, 512),
]

export const productCases: Readonly<Record<CaseSize, readonly KernelCase[]>> = { small: smallCases, full: fullCases }
