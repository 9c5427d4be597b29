/** Hidden states of captions in files that runs and processes share. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { ArrayStore, type ArrayStoreOptions } from '../../io/arrayStore.ts'
import { bytesOf, type FileDType } from '../../io/tensorBytes.ts'
import { tensor } from '../../tensor/create.ts'
import type { FloatDType } from '../../tensor/dtype.ts'
import type { Shape } from '../../tensor/shape.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ArgumentError } from '../../util/errors.ts'
import type { CaptionEncoder } from './conditioning.ts'
import { textEncoderFingerprint } from './fingerprints.ts'

export type StatesLookup =
  /** [1, positions, d], on the encoder's device; the caller disposes it. */
  | { readonly found: 'states'; readonly states: Tensor }
  | { readonly found: 'nothing' }
  | { readonly found: 'damage'; readonly problem: string }

/** Raise it when captions are encoded to other values than before, or entries are laid out differently. */
const TEXT_VERSION = 1
/** The name of the array in an entry: [positions, d]. */
const ARRAY = 'hidden_states'
/** NumPy has no bfloat16: its bits are kept. */
const fileTypes: Readonly<Partial<Record<FloatDType, FileDType>>> = { float32: 'F32', float16: 'F16', bfloat16: 'U16' }

/**
 * Hidden states made by one text encoder in one way. The name of an entry is a hash of all that decides it: the rows of tokens (and so
 * the tokenizer and the length), the clip skip, the type of the result, and the encoder's weights. States that another device encoded
 * differ by rounding, and are used.
 */
export class TextStore {
  readonly #store: ArrayStore
  readonly #encoder: CaptionEncoder
  readonly #fingerprint: string

  private constructor(store: ArrayStore, encoder: CaptionEncoder, fingerprint: string) {
    this.#store = store
    this.#encoder = encoder
    this.#fingerprint = fingerprint
  }

  /**
   * @param folder see `cachesFolder`
   * @param encoder its weights are read once, for their fingerprint; they must not change any more
   * @throws ArgumentError for an encoder without padding: its states depend on the other captions of a batch
   */
  static async open(folder: string, encoder: CaptionEncoder, options: ArrayStoreOptions = {}): Promise<TextStore> {
    if (encoder.options.noPadding)
      throw new ArgumentError('TextStore', 'encoder', 'one that pads captions', 'one with noPadding')
    const fingerprint = await textEncoderFingerprint(encoder.model)
    return new TextStore(new ArrayStore(join(folder, 'captions'), options), encoder, fingerprint)
  }

  /** The file of a caption's states. */
  pathOf(caption: string): string {
    return this.#store.pathOf(this.#keyOf(caption))
  }

  /** @throws IoError when there is a file that cannot be read */
  async read(caption: string): Promise<StatesLookup> {
    const { dtype } = this.#encoder.options
    const lookup = await this.#store.read(this.#keyOf(caption))
    if (lookup.found !== 'arrays') return lookup
    const array = lookup.arrays.get(ARRAY)
    const shape = this.#shape
    if (array === undefined || array.dtype !== fileTypes[dtype] || String(array.shape) !== String(shape)) {
      const expected = `${fileTypes[dtype]} "${ARRAY}" of shape [${shape.join(', ')}]`
      return { found: 'damage', problem: `${this.pathOf(caption)}: expected ${expected}` }
    }
    const { device } = this.#encoder.model.registry
    return { found: 'states', states: tensor(array.bytes, [1, ...shape], { dtype, device }) }
  }

  /** @param values of [positions, d], as `Tensor.read` gives them @throws IoError when the entry cannot be written */
  async write(caption: string, values: ArrayBufferView): Promise<void> {
    const array = { dtype: fileTypes[this.#encoder.options.dtype]!, shape: this.#shape, bytes: bytesOf(values) }
    await this.#store.write(this.#keyOf(caption), new Map([[ARRAY, array]]))
  }

  get #shape(): Shape {
    return [this.#encoder.options.sequenceLength, this.#encoder.model.config.hiddenSize]
  }

  #keyOf(caption: string): string {
    const { clipSkip, dtype, sequenceLength, noPadding, ...rest } = this.#encoder.options
    // A new option must become a part of the key: then this line no longer compiles.
    rest satisfies Record<string, never>
    const tokens = Array.from(this.#encoder.tokens(caption))
    const parts = [TEXT_VERSION, tokens, sequenceLength, clipSkip, dtype, this.#fingerprint]
    return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
  }
}
