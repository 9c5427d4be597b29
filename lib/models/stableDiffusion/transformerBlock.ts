import { GroupNorm } from '../../nn/groupNorm.ts'
import { LayerNorm } from '../../nn/layerNorm.ts'
import { Linear } from '../../nn/linear.ts'
import type { Weights } from '../../nn/weights.ts'
import { attention } from '../../ops/attention.ts'
import { geglu } from '../../ops/geglu.ts'
import { reshape } from '../../ops/reshape.ts'
import { scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'

/**
 * Multi-head attention with projections; queries from x, keys and values from the context (x itself in self-attention). What
 * configurations call `upcast_attention` (Stable Diffusion 2.1, whose scores overflow float16) always holds: the kernels
 * keep scores and their softmax in float32 whatever the type of their inputs.
 */
class Attention {
  readonly toQ: Linear
  readonly toK: Linear
  readonly toV: Linear
  readonly toOut: Linear
  readonly #heads: number

  constructor(weights: Weights, channels: number, contextDim: number, heads: number) {
    this.toQ = new Linear(weights.at('to_q'), channels, channels, { bias: false })
    this.toK = new Linear(weights.at('to_k'), contextDim, channels, { bias: false })
    this.toV = new Linear(weights.at('to_v'), contextDim, channels, { bias: false })
    this.toOut = new Linear(weights.at('to_out', 0), channels, channels)
    this.#heads = heads
  }

  /** x [n, t, c], context [n, s, d]; `residual` is added to the result. */
  forward(x: Tensor, context: Tensor, residual: Tensor): Tensor {
    return scope(() => {
      const heads = this.#heads
      const o = attention(this.toQ.forward(x), this.toK.forward(context), this.toV.forward(context), { heads })
      return this.toOut.forward(o, { residual })
    })
  }
}

/** Projection to [value ; gate], value * gelu(gate), projection back (Shazeer, "GLU variants improve transformer", 2020). */
class FeedForward {
  readonly proj: Linear
  readonly out: Linear

  constructor(weights: Weights, channels: number) {
    this.proj = new Linear(weights.at('net', 0, 'proj'), channels, 8 * channels)
    this.out = new Linear(weights.at('net', 2), 4 * channels, channels)
  }

  forward(x: Tensor, residual: Tensor): Tensor {
    return scope(() => this.out.forward(geglu(this.proj.forward(x)), { residual }))
  }
}

class BasicTransformerBlock {
  readonly attn1: Attention
  readonly ff: FeedForward
  readonly attn2: Attention
  readonly norm1: LayerNorm
  readonly norm2: LayerNorm
  readonly norm3: LayerNorm

  constructor(weights: Weights, channels: number, contextDim: number, heads: number) {
    this.attn1 = new Attention(weights.at('attn1'), channels, channels, heads)
    this.ff = new FeedForward(weights.at('ff'), channels)
    this.attn2 = new Attention(weights.at('attn2'), channels, contextDim, heads)
    this.norm1 = new LayerNorm(weights.at('norm1'), channels)
    this.norm2 = new LayerNorm(weights.at('norm2'), channels)
    this.norm3 = new LayerNorm(weights.at('norm3'), channels)
  }

  forward(x: Tensor, context: Tensor): Tensor {
    return scope(() => {
      const h = this.norm1.forward(x)
      const attended = this.attn1.forward(h, h, x)
      const crossed = this.attn2.forward(this.norm2.forward(attended), context, attended)
      return this.ff.forward(this.norm3.forward(crossed), crossed)
    })
  }
}

export interface TransformerConfig {
  readonly heads: number
  readonly crossAttentionDim: number
  readonly groups: number
  readonly linearProjection: boolean
}

/** A transformer over the pixels of a feature map: norm, projection in, one block, projection out, plus the input. */
export class Transformer2D {
  readonly norm: GroupNorm
  readonly projIn: Linear
  readonly transformerBlock: BasicTransformerBlock
  readonly projOut: Linear

  constructor(weights: Weights, channels: number, config: TransformerConfig) {
    const projection = { conv1x1: !config.linearProjection }
    this.norm = new GroupNorm(weights.at('norm'), channels, { groups: config.groups, eps: 1e-6 })
    this.projIn = new Linear(weights.at('proj_in'), channels, channels, projection)
    this.transformerBlock = new BasicTransformerBlock(
      weights.at('transformer_blocks', 0),
      channels,
      config.crossAttentionDim,
      config.heads,
    )
    this.projOut = new Linear(weights.at('proj_out'), channels, channels, projection)
  }

  /** x [n, h, w, c], context [n, s, d] */
  forward(x: Tensor, context: Tensor): Tensor {
    const [n, h, w, c] = x.shape as readonly [number, number, number, number]
    return scope(() => {
      const tokens = reshape(this.projIn.forward(this.norm.forward(x)), { shape: [n, h * w, c] })
      const transformed = this.transformerBlock.forward(tokens, context)
      return this.projOut.forward(reshape(transformed, { shape: [n, h, w, c] }), { residual: x })
    })
  }
}
