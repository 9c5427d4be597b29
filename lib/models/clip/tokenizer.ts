import type { Tokenizer } from '@huggingface/tokenizers'
import { ArgumentError } from '../../util/errors.ts'
import { BOS_TOKEN, type ClipVocabulary, EOS_TOKEN, loadClipVocabulary } from './clipVocabulary.ts'

/** Stable Diffusion 1.x pads with the end token, 2.x with `!` (id 0). Their vocabularies are the same. */
export type ClipTokenizerVariant = 'sd1' | 'sd2'

/** Length of a token sequence before it is cut into rows: 77, or `max_token_length + 2` for 150 and 225. */
export type TokenSequenceLength = 77 | 152 | 227

/** Tokens of CLIP's vocabulary: added ones have ids from here on. */
export const VOCABULARY_SIZE = 49408
export const BOS_ID = 49406
export const EOS_ID = 49407
/** Positions of the text encoder, and so the length of every row of tokens. */
export const TOKEN_ROW_LENGTH = 77

/** A text that stands for ids past the vocabulary, such as the name of a learned embedding and the ids of its vectors. */
export interface AddedToken {
  readonly text: string
  readonly ids: readonly number[]
}

/** Captions to token ids, as CLIP's tokenizer does it. Made by {@link loadClipTokenizer}. */
export class ClipTokenizer {
  readonly variant: ClipTokenizerVariant
  /** What fills a row after the end token. */
  readonly padId: number
  /** See {@link withTokens}. */
  readonly addedTokens: readonly AddedToken[]
  readonly #tokenizer: Tokenizer
  readonly #added: RegExp | null

  constructor(variant: ClipTokenizerVariant, tokenizer: Tokenizer, addedTokens: readonly AddedToken[] = []) {
    this.variant = variant
    this.padId = variant === 'sd1' ? EOS_ID : 0
    this.addedTokens = addedTokens
    this.#tokenizer = tokenizer
    this.#added = addedTokens.length === 0 ? null : anyOf(addedTokens.map(({ text }) => text))
  }

  /**
   * The same tokenizer, which knows more tokens. Each text becomes its ids wherever it stands as it is spelled, inside of words too;
   * where several fit, the longest. What stands before and after is encoded on its own.
   * @throws ArgumentError for a text that is empty or was added before
   */
  withTokens(tokens: readonly AddedToken[]): ClipTokenizer {
    const all = [...this.addedTokens, ...tokens]
    for (const [at, { text }] of all.entries())
      if (text === '' || all.findIndex((other) => other.text === text) < at) {
        const expected = 'texts of at least one letter, each once'
        throw new ArgumentError('ClipTokenizer', 'tokens', expected, text === '' ? 'an empty text' : `"${text}" twice`)
      }
    return new ClipTokenizer(this.variant, this.#tokenizer, all)
  }

  /** Whether a text is a token, of the vocabulary or an added one. The vocabulary holds words, parts of words, and single letters. */
  knows(text: string): boolean {
    return this.#tokenizer.token_to_id(text) !== undefined || this.addedTokens.some((token) => token.text === text)
  }

  /**
   * The ids of a text, without start and end and of any length.
   *
   * The text is brought into Unicode form NFC, white space becomes single spaces, letters become lower case. Special
   * tokens written out in the text become their ids; for the sd2 variant that includes `!`, its padding token.
   */
  encode(text: string): number[] {
    if (this.#added === null) return this.#encodeKnown(text)
    // Every second part is what the pattern found.
    return text
      .split(this.#added)
      .flatMap((part, at) =>
        at % 2 === 0 ? this.#encodeKnown(part) : this.addedTokens.find((token) => token.text === part)!.ids,
      )
  }

  #encodeKnown(text: string): number[] {
    // JavaScript lowers a sigma at the end of a word to its final form; CLIP's tokenizer lowers letter by letter.
    const plain = text.replaceAll('\u03a3', '\u03c3')
    return this.#tokenizer.encode(plain, { add_special_tokens: false }).ids
  }

  /** The text of ids, one space after each word; start and end tokens are left out. For people and tests. */
  decode(ids: Iterable<number>): string {
    const parts: (string | number[])[] = []
    for (const id of ids) {
      if (id === BOS_ID || id === EOS_ID) continue
      const last = parts.at(-1)
      const name = this.#nameOf(id)
      if (name !== null) parts.push(name)
      else if (typeof last === 'object') last.push(id)
      else parts.push([id])
    }
    const words = (known: number[]): string => this.#tokenizer.decode(known).replaceAll('</w>', ' ').trim()
    return parts.map((part) => (typeof part === 'string' ? part : words(part))).join(' ')
  }

  /** Of an added id: the text, numbered from the second id on. */
  #nameOf(id: number): string | null {
    for (const { text, ids } of this.addedTokens) {
      const at = ids.indexOf(id)
      if (at >= 0) return at === 0 ? text : `${text}${at}`
    }
    return null
  }

  /** One row of 77 ids: start, up to 75 ids of content, end, padding. */
  row(content: readonly number[]): Int32Array {
    const row = new Int32Array(TOKEN_ROW_LENGTH).fill(this.padId)
    row.set([BOS_ID, ...content.slice(0, TOKEN_ROW_LENGTH - 2), EOS_ID])
    return row
  }

  /**
   * A caption as rows for the text encoder: int32 `[rows, 77]`, rows = 1, 2 or 3 for a length of 77, 152 or 227.
   *
   * The sequence is start, content (cut to length − 2), end, padding. A longer one is cut into rows of start, 75 ids, and
   * its last id. In sd2 a row whose text reaches its end ends with the end token, and a row without text has the end
   * token in its second place.
   */
  tokenize(caption: string, options: { readonly maxLength?: TokenSequenceLength } = {}): Int32Array {
    const { maxLength = TOKEN_ROW_LENGTH } = options
    const { padId } = this
    const sequence = new Int32Array(maxLength).fill(padId)
    const content = this.encode(caption).slice(0, maxLength - 2)
    sequence.set([BOS_ID, ...content, EOS_ID])
    if (maxLength === TOKEN_ROW_LENGTH) return sequence
    const chunk = TOKEN_ROW_LENGTH - 2
    const rows = new Int32Array(((maxLength - 2) / chunk) * TOKEN_ROW_LENGTH)
    for (let start = 0, source = 1; start < rows.length; start += TOKEN_ROW_LENGTH, source += chunk) {
      const row = rows.subarray(start, start + TOKEN_ROW_LENGTH)
      row[0] = BOS_ID
      row.set(sequence.subarray(source, source + chunk), 1)
      row[chunk + 1] = sequence[maxLength - 1]!
      if (padId !== EOS_ID) {
        if (row[chunk] !== EOS_ID && row[chunk] !== padId) row[chunk + 1] = EOS_ID
        if (row[1] === padId) row[1] = EOS_ID
      }
    }
    return rows
  }
}

/** Splits at any of some texts, the longest first, and keeps them. */
function anyOf(texts: readonly string[]): RegExp {
  const literals = texts
    .toSorted((a, b) => b.length - a.length)
    .map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
  return new RegExp(`(${literals.join('|')})`)
}

export interface ClipTokenizerOptions {
  /** Default: `'sd1'`. */
  readonly variant?: ClipTokenizerVariant
}

const loaded = new Map<ClipTokenizerVariant, Promise<ClipTokenizer>>()

/**
 * Loads CLIP's tokenizer with the vocabulary that the package ships (about 0.2 s at the first call, then shared).
 *
 * @throws ArgumentError for an unknown variant
 * @throws CheckpointError when the shipped vocabulary is damaged
 */
export async function loadClipTokenizer(options: ClipTokenizerOptions = {}): Promise<ClipTokenizer> {
  const { variant = 'sd1' } = options
  if (variant !== 'sd1' && variant !== 'sd2') {
    throw new ArgumentError('loadClipTokenizer', 'variant', "'sd1' or 'sd2'", String(variant))
  }
  let pending = loaded.get(variant)
  if (pending === undefined) {
    pending = build(variant)
    pending.catch(() => loaded.delete(variant))
    loaded.set(variant, pending)
  }
  return pending
}

async function build(variant: ClipTokenizerVariant): Promise<ClipTokenizer> {
  const { Tokenizer } = await import('@huggingface/tokenizers')
  const description = describe(await loadClipVocabulary(), variant)
  return new ClipTokenizer(variant, new Tokenizer(description, { clean_up_tokenization_spaces: false }))
}

/** The tokenizer in the form of a `tokenizer.json` file. */
function describe({ merges, ids }: ClipVocabulary, variant: ClipTokenizerVariant): object {
  const special = [BOS_TOKEN, EOS_TOKEN, ...(variant === 'sd2' ? ['!'] : [])]
  return {
    added_tokens: special.map((content) => {
      const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
      return { id: ids.get(content), content, ...flags }
    }),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        {
          type: 'Split',
          pattern: { Regex: "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" },
          behavior: 'Removed',
          invert: true,
        },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      unk_token: EOS_TOKEN,
      continuing_subword_prefix: '',
      end_of_word_suffix: '</w>',
      fuse_unk: false,
      vocab: Object.fromEntries(ids),
      merges,
    },
  }
}
