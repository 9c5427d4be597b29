import { noGrad } from '../autograd/tape.ts'
import { epochBatches } from '../data/batches.ts'
import type { DatasetGroup } from '../data/datasetGroup.ts'
import { concatBatch } from '../ops/concatBatch.ts'
import { keep } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { CacheEvent } from './events.ts'

/** What makes hidden states of captions: `CaptionEncoder`, and a cache in its place. */
export interface EncodesCaptions {
  /** @returns [captions, positions, d] */
  encode(captions: readonly string[]): Tensor
}

/**
 * The hidden states of captions, each encoded once and kept in memory: 77 positions of 768 features take 118 kB in bfloat16. For a
 * text encoder that does not learn, and captions that stay the same. The states have the bits that encoding them in their batch
 * has.
 */
export class TextCache implements EncodesCaptions {
  readonly #encoder: EncodesCaptions
  /** [1, positions, d] */
  readonly #states = new Map<string, Tensor>()

  constructor(encoder: EncodesCaptions) {
    this.#encoder = encoder
  }

  /**
   * Encodes every caption of a group, and reports how far it has come. Captions that change from epoch to epoch are for the caller
   * to refuse (`loadDatasetGroup` does).
   */
  async *fill(group: DatasetGroup, signal?: AbortSignal): AsyncGenerator<CacheEvent, void, void> {
    const captions = new Set<string>()
    for (const { items } of epochBatches(group, 1)) for (const { caption } of items) captions.add(caption)
    const started = performance.now()
    let done = 0
    for (const caption of captions) {
      if (signal?.aborted) return
      // Waiting for the end of it keeps the queue of the device short.
      await this.#stateOf(caption).read()
      done++
      const perSecond = (1000 * done) / Math.max(1, performance.now() - started)
      yield { type: 'cache', what: 'captions', done, total: captions.size, reused: 0, perSecond }
    }
  }

  encode(captions: readonly string[]): Tensor {
    return concatBatch(captions.map((caption) => this.#stateOf(caption)))
  }

  dispose(): void {
    for (const state of this.#states.values()) state.dispose()
    this.#states.clear()
  }

  #stateOf(caption: string): Tensor {
    const known = this.#states.get(caption)
    if (known !== undefined) return known
    const state = keep(noGrad(() => this.#encoder.encode([caption])))
    this.#states.set(caption, state)
    return state
  }
}
