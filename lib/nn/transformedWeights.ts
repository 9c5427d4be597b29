/** How much memory a model spends on weights of fast convolutions that are transformed once instead of at every call. */
import type { Tensor } from '../tensor/tensor.ts'

/**
 * 4 GiB. Training a LoRA of Stable Diffusion 1.5 (512x512 pixels, batch 1, float32) takes some 5 GB without kept weights; with 4.3 more,
 * the text encoder and the autoencoder, a third of a machine of 16 GB is left for larger batches and the rest of the system. Its layers
 * of 32x32 pixels and more need 2.5 GB for both directions; what is left goes to the 16x16 ones, which could use 6 GB.
 */
export const DEFAULT_TRANSFORMED_WEIGHTS_BUDGET = 4 * 2 ** 30

interface Candidate {
  readonly bytes: number
  readonly tiles: number
}

/** Bytes of a transformed weight [co, 3, 3, ci]: 36 numbers for 9, in panels of 32 channels. */
function transformedBytes(co: number, ci: number): number {
  return 36 * Math.ceil(co / 32) * 32 * ci * 4
}

/**
 * Decides which layers of a model keep transformed weights. A transformation costs time in proportion to its bytes, whatever the
 * layer, and is needed once for every group of tiles that fits the cache: what a kept byte saves grows with the number of tiles alone.
 * So layers with the most tiles come first, until the budget is used up. All layers are known when one comes round for the second
 * time; until then none keeps anything. Weights that are kept belong to the storage of the weight: they count in `memory().liveBytes` and go
 * when the model is disposed.
 */
export class TransformedWeights {
  #budget: number
  readonly #candidates = new Map<Tensor, Candidate>()
  #kept: Set<Tensor> | null = null
  #keptBytes = 0

  /** @param budget bytes for all layers; 0 keeps nothing */
  constructor(budget: number = DEFAULT_TRANSFORMED_WEIGHTS_BUDGET) {
    this.#budget = budget
  }

  /** Bytes for all layers of the model. Set it before the model is first used: layers do not give back what they keep. */
  get budget(): number {
    return this.#budget
  }

  set budget(bytes: number) {
    this.#budget = bytes
    this.#kept = null
  }

  /** Bytes that the chosen layers take once they have been used in both directions; 0 before the choice. */
  get keptBytes(): number {
    return this.#keptBytes
  }

  /**
   * Whether a layer keeps its transformed weights.
   * @param weight [co, 3, 3, ci], frozen
   * @param tiles 4x4 tiles of the result, over the whole batch
   */
  keeps(weight: Tensor, tiles: number): boolean {
    if (!this.#kept && this.#candidates.has(weight)) this.#kept = this.#choose()
    if (this.#kept) return this.#kept.has(weight)
    const [co, ci] = [weight.dim(0), weight.dim(3)]
    const bytes = transformedBytes(co, ci) + transformedBytes(ci, co)
    // Where the processor multiplies bfloat16, keeping would choose another algorithm for few tiles, with other roundings.
    if (tiles >= (weight.dtype === 'bfloat16' ? 64 : 16)) this.#candidates.set(weight, { bytes, tiles })
    return false
  }

  #choose(): Set<Tensor> {
    const kept = new Set<Tensor>()
    this.#keptBytes = 0
    for (const [layer, { bytes }] of [...this.#candidates].sort(([, a], [, b]) => b.tiles - a.tiles)) {
      if (this.#keptBytes + bytes > this.#budget) continue
      this.#keptBytes += bytes
      kept.add(layer)
    }
    return kept
  }
}
