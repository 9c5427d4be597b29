import { grouped, recompute } from '../../autograd/recompute.ts'
import { LayerNorm } from '../../nn/layerNorm.ts'
import { Linear } from '../../nn/linear.ts'
import { type Model, Registry, type WeightSource, Weights } from '../../nn/weights.ts'
import { add } from '../../ops/add.ts'
import { attention } from '../../ops/attention.ts'
import { cast } from '../../ops/cast.ts'
import { embedding, extendedEmbedding } from '../../ops/embedding.ts'
import { tensor } from '../../tensor/create.ts'
import type { FloatDType } from '../../tensor/dtype.ts'
import { scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ArgumentError } from '../../util/errors.ts'
import type { ClipTextConfig } from './config.ts'

/** One pre-norm block: x += attention(norm(x)); x += mlp(norm(x)). */
class EncoderLayer {
  readonly layerNorm1: LayerNorm
  readonly qProj: Linear
  readonly kProj: Linear
  readonly vProj: Linear
  readonly outProj: Linear
  readonly layerNorm2: LayerNorm
  readonly fc1: Linear
  readonly fc2: Linear
  readonly #config: ClipTextConfig

  constructor(weights: Weights, config: ClipTextConfig) {
    const { hiddenSize: d, intermediateSize } = config
    const attn = weights.at('self_attn')
    this.kProj = new Linear(attn.at('k_proj'), d, d)
    this.vProj = new Linear(attn.at('v_proj'), d, d)
    this.qProj = new Linear(attn.at('q_proj'), d, d)
    this.outProj = new Linear(attn.at('out_proj'), d, d)
    this.layerNorm1 = new LayerNorm(weights.at('layer_norm1'), d)
    this.fc1 = new Linear(weights.at('mlp', 'fc1'), d, intermediateSize)
    this.fc2 = new Linear(weights.at('mlp', 'fc2'), intermediateSize, d)
    this.layerNorm2 = new LayerNorm(weights.at('layer_norm2'), d)
    this.#config = config
  }

  /** x [n, t, d] */
  forward(x: Tensor): Tensor {
    const { heads, activation } = this.#config
    return scope(() => {
      const h = this.layerNorm1.forward(x)
      const o = attention(this.qProj.forward(h), this.kProj.forward(h), this.vProj.forward(h), { heads, causal: true })
      const attended = this.outProj.forward(o, { residual: x })
      const hidden = this.fc1.forward(this.layerNorm2.forward(attended), { activation })
      return this.fc2.forward(hidden, { residual: attended })
    })
  }
}

export interface ClipTextOutput {
  /** The embeddings, then the output of every layer: layers + 1 tensors [n, t, d], before the final norm. */
  readonly hiddenStates: readonly Tensor[]
  /** The last hidden state after the final norm, [n, t, d]. */
  readonly lastHiddenState: Tensor
}

/** The CLIP text encoder (Radford et al., 2021) with a causal mask and no padding mask. */
export class ClipTextModel implements Model {
  readonly registry: Registry
  readonly config: ClipTextConfig
  readonly tokenEmbedding: Tensor
  readonly positionEmbedding: Tensor
  readonly layers: readonly EncoderLayer[]
  readonly finalLayerNorm: LayerNorm
  /**
   * Rows of tokens past the vocabulary, [more, d], in any float type: learned embeddings. Null: there are none. They belong to whoever
   * sets them.
   */
  addedEmbedding: Tensor | null = null
  /** Recompute each layer in the backward pass instead of keeping its activations. */
  gradientCheckpointing = false

  constructor(config: ClipTextConfig, source: WeightSource, dtype: FloatDType = 'float32') {
    this.config = config
    this.registry = new Registry(source, dtype)
    const weights = new Weights(this.registry, 'text_model')
    const embeddings = weights.at('embeddings')
    this.tokenEmbedding = embeddings
      .at('token_embedding')
      .parameter('weight', [config.vocabSize, config.hiddenSize], 'normal')
    this.positionEmbedding = embeddings
      .at('position_embedding')
      .parameter('weight', [config.positions, config.hiddenSize], 'normal')
    this.layers = Array.from(
      { length: config.layers },
      (_, i) => new EncoderLayer(weights.at('encoder', 'layers', i), config),
    )
    this.finalLayerNorm = new LayerNorm(weights.at('final_layer_norm'), config.hiddenSize)
  }

  /**
   * @param ids token ids, int32 [n, t] with t at most the model's number of positions
   * @throws ArgumentError for a larger t
   */
  forward(ids: Tensor): ClipTextOutput {
    const { positions } = this.config
    if (ids.rank !== 2 || ids.dim(1) > positions)
      throw new ArgumentError('ClipTextModel', 'ids', `of shape [n, ${positions}], or shorter`, String(ids))
    return scope(() => {
      const t = ids.dim(1)
      // As rows that are chosen, positions get a gradient in float32 whatever their own type is.
      const places = tensor(
        Int32Array.from({ length: t }, (_, place) => place),
        [t],
        { device: ids.device },
      )
      let x = add(this.#embed(ids), embedding(places, this.positionEmbedding))
      const hiddenStates = [x]
      const run = this.gradientCheckpointing ? recompute : grouped
      for (const layer of this.layers) {
        x = run([x], (h) => layer.forward(h!))
        hiddenStates.push(x)
      }
      return { hiddenStates, lastHiddenState: this.finalLayerNorm.forward(x) }
    })
  }

  #embed(ids: Tensor): Tensor {
    const { tokenEmbedding, addedEmbedding } = this
    if (addedEmbedding === null) return embedding(ids, tokenEmbedding)
    return extendedEmbedding(ids, tokenEmbedding, cast(addedEmbedding, { dtype: tokenEmbedding.dtype }))
  }

  /**
   * What the U-Net is conditioned on: hidden state number -clipSkip, then the final norm. 1 is the last layer.
   * @throws ArgumentError when there is no such layer
   */
  encode(ids: Tensor, clipSkip = 1): Tensor {
    if (!Number.isInteger(clipSkip) || clipSkip < 1 || clipSkip > this.config.layers + 1)
      throw new ArgumentError(
        'ClipTextModel',
        'clipSkip',
        `a whole number from 1 to ${this.config.layers + 1}`,
        String(clipSkip),
      )
    return scope(() => {
      const { hiddenStates, lastHiddenState } = this.forward(ids)
      return clipSkip === 1
        ? lastHiddenState
        : this.finalLayerNorm.forward(hiddenStates[hiddenStates.length - clipSkip]!)
    })
  }

  dispose(): void {
    this.registry.dispose()
  }
}
