/** How much memory a model spends on weights of fast convolutions that are transformed once instead of at every call. */
import type { Tensor } from '../tensor/tensor.ts'

/**
 * 1 GiB, what the layers of 64x64 and 32x32 pixels of Stable Diffusion 1.5 need for the forward pass and most of the backward pass of 512x512
 * pixels. Steps of a LoRA (batch 1) took 6.8 s of processor time without kept weights in bfloat16, 6.4 and 6.9 in two runs with 1 GiB, and 6.2
 * with 2.4, which is all that it can use; in float32 9.9, 8.9 and, with 4 GiB, 9.0.
 */
export const DEFAULT_TRANSFORMED_WEIGHTS_BUDGET = 2 ** 30

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
