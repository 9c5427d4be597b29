import { noGrad } from '../../autograd/tape.ts'
import type { DatasetGroup } from '../../data/datasetGroup.ts'
import { distinctCaptions } from '../../data/distinctCaptions.ts'
import { concatBatch } from '../../ops/concatBatch.ts'
import { keep } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ArgumentError, DataError } from '../../util/errors.ts'
import { mapAhead } from '../../util/mapAhead.ts'
import type { CacheEvent, WarningEvent } from '../events.ts'
import { type Shard, shardOf } from './latentEncoder.ts'
import type { TextStore } from './textStore.ts'

/** What makes hidden states of captions: `CaptionEncoder`, and a cache in its place. */
export interface EncodesCaptions {
  /** @returns [captions, positions, d] */
  encode(captions: readonly string[]): Tensor
}

export interface TextCacheOptions {
  /**
   * Opens where states are kept between runs; they are read again for each batch. Called when the filling begins, since the weights of the
   * text encoder must not change any more. Default null: all stay in memory.
   */
  readonly openStore?: (() => Promise<TextStore>) | null
  /** Captions whose states stay in memory beside a store, and more where a batch has more. Default 64. */
  readonly mostInMemory?: number
}

export interface TextFillOptions {
  /** Aborting it ends the filling after the caption in hand. What is in the store by then is found by the next run. */
  readonly signal?: AbortSignal | undefined
  /** Which part of the captions to look after. For a cache with a store, which other processes fill as well. Default: all. */
  readonly shard?: Shard | undefined
}

/** Captions looked up in the store while another is encoded. */
const lookedUpAhead = 3

/**
 * The hidden states of captions, each encoded once: 77 positions of 768 features take 118 kB in bfloat16. For a text encoder that does
 * not learn, and captions that stay the same. The states have the bits that encoding them in their batch has.
 */
export class TextCache implements EncodesCaptions {
  readonly #encoder: EncodesCaptions
  readonly #openStore: (() => Promise<TextStore>) | null
  readonly #mostInMemory: number
  #store: TextStore | null = null
  #released = false
  /** [1, positions, d], those used last at the end. */
  readonly #states = new Map<string, Tensor>()

  constructor(encoder: EncodesCaptions, { openStore = null, mostInMemory = 64 }: TextCacheOptions = {}) {
    this.#encoder = encoder
    this.#openStore = openStore
    this.#mostInMemory = mostInMemory
  }

  /**
   * Encodes every caption of a group that has no states yet, and reports how far it has come. Captions that change from epoch to epoch
   * are for the caller to refuse (`loadDatasetGroup` does).
   *
   * @throws IoError when the store cannot be read or written
   */
  async *fill(
    group: DatasetGroup,
    { signal, shard }: TextFillOptions = {},
  ): AsyncGenerator<CacheEvent | WarningEvent, void, void> {
    if (shard !== undefined && this.#openStore === null)
      throw new ArgumentError('TextCache', 'shard', 'given with a store, which other processes fill too', 'no store')
    this.#store ??= (await this.#openStore?.()) ?? null
    const all = distinctCaptions(group)
    const captions = shard === undefined ? all : shardOf(all, shard)
    const started = performance.now()
    let [done, reused] = [0, 0]
    let writing = Promise.resolve()
    const look = async (caption: string) => ({ caption, found: await this.#find(caption) })
    try {
      for await (const { caption, found } of mapAhead(captions, lookedUpAhead, look)) {
        if (found.kept) reused++
        else {
          if (found.problem !== null)
            yield { type: 'warning', message: `${found.problem}; the caption is encoded again` }
          const state = this.#encodeNew(caption)
          // Waiting for the end of it keeps the queue of the device short.
          const values = await state.read()
          await writing
          if (this.#store !== null) {
            this.#forget(caption)
            writing = this.#store.write(caption, values)
            writing.catch(() => undefined)
          }
        }
        done++
        const perSecond = (1000 * done) / Math.max(1, performance.now() - started)
        yield { type: 'cache', what: 'captions', done, total: captions.length, reused, perSecond }
        if (signal?.aborted) return
      }
    } finally {
      await writing
    }
  }

  /**
   * Brings states into memory for `encode`, which cannot wait. Those that are in no store are encoded.
   * @throws DataError when they are lost, and the text encoder has been released
   */
  async fetch(captions: readonly string[]): Promise<void> {
    const store = this.#store
    if (store === null) return
    const wanted = new Set(captions)
    for (const caption of wanted) {
      const known = this.#states.get(caption)
      if (known !== undefined) {
        this.#states.delete(caption)
        this.#states.set(caption, known)
        continue
      }
      const lookup = await store.read(caption)
      if (lookup.found === 'states') this.#states.set(caption, keep(lookup.states))
      else if (this.#released) {
        const found = lookup.found === 'damage' ? 'damaged' : 'gone'
        const advice =
          'start again or resume, and it is made anew; let nothing clear the cache while a training uses it'
        throw new DataError(store.pathOf(caption), `the hidden states of a caption are ${found}: ${advice}`)
      } else await store.write(caption, await this.#encodeNew(caption).read())
    }
    const most = Math.max(this.#mostInMemory, wanted.size)
    for (const caption of [...this.#states.keys()].slice(0, Math.max(0, this.#states.size - most)))
      this.#forget(caption)
  }

  encode(captions: readonly string[]): Tensor {
    return concatBatch(captions.map((caption) => this.#states.get(caption) ?? this.#encodeNew(caption)))
  }

  /** Tells that the text encoder is there no more: what is lost from the store cannot be made again. */
  encoderReleased(): void {
    this.#released = true
  }

  dispose(): void {
    for (const state of this.#states.values()) state.dispose()
    this.#states.clear()
  }

  /** Whether the states of a caption are kept already, whole; if there is something else in their place, what is wrong with it. */
  async #find(caption: string): Promise<{ readonly kept: boolean; readonly problem: string | null }> {
    if (this.#store === null) return { kept: this.#states.has(caption), problem: null }
    const lookup = await this.#store.read(caption)
    if (lookup.found === 'states') lookup.states.dispose()
    return { kept: lookup.found === 'states', problem: lookup.found === 'damage' ? lookup.problem : null }
  }

  #encodeNew(caption: string): Tensor {
    const state = keep(noGrad(() => this.#encoder.encode([caption])))
    this.#states.set(caption, state)
    return state
  }

  #forget(caption: string): void {
    this.#states.get(caption)?.dispose()
    this.#states.delete(caption)
  }
}
