/** Captions in which brackets weigh words: `(more)`, `[less]`, `(this:1.3)`. */
import { BOS_ID, type ClipTokenizer, EOS_ID, TOKEN_ROW_LENGTH } from './tokenizer.ts'

/** A piece of a caption, and what its hidden states are multiplied by. */
export interface WeightedText {
  readonly text: string
  readonly weight: number
}

const inRoundBrackets = 1.1
const inSquareBrackets = 1 / inRoundBrackets

/** An escaped character, an opening bracket, a weight that closes one, a closing bracket, or plain text. */
const parts = /\\[()[\]\\]|\\|\(|\[|:([+-]?[.\d]+)\)|\)|\]|[^\\()[\]:]+|:/g

/**
 * The pieces of a caption with their weights, in the syntax of AUTOMATIC1111's web UI: `(x)` weighs 1.1, `[x]` 1 / 1.1, `(x:1.3)` 1.3; nested weights
 * multiply; a backslash before a bracket or backslash makes it text. What is still open at the end is closed there, what closes
 * nothing is text. Neighbours of equal weight are one piece.
 */
export function parseCaptionWeights(caption: string): WeightedText[] {
  const pieces: { text: string; weight: number }[] = []
  const open: Record<'round' | 'square', number[]> = { round: [], square: [] }
  const close = (from: number | undefined, factor: number): void => {
    for (const piece of pieces.slice(from)) piece.weight *= factor
  }
  for (const [text, given] of caption.matchAll(parts)) {
    if (text.startsWith('\\')) pieces.push({ text: text.slice(1), weight: 1 })
    else if (text === '(') open.round.push(pieces.length)
    else if (text === '[') open.square.push(pieces.length)
    else if (given !== undefined && isNumber(given) && open.round.length > 0) close(open.round.pop(), Number(given))
    else if (text === ')' && open.round.length > 0) close(open.round.pop(), inRoundBrackets)
    else if (text === ']' && open.square.length > 0) close(open.square.pop(), inSquareBrackets)
    else pieces.push({ text, weight: 1 })
  }
  for (const from of open.round) close(from, inRoundBrackets)
  for (const from of open.square) close(from, inSquareBrackets)
  return pieces.length === 0 ? [{ text: '', weight: 1 }] : joinEqual(pieces)
}

/** `1.2.3` looks like a weight to the pattern and is none. */
function isNumber(text: string): boolean {
  return Number.isFinite(Number(text))
}

function joinEqual(pieces: readonly WeightedText[]): WeightedText[] {
  const joined: { text: string; weight: number }[] = []
  for (const { text, weight } of pieces) {
    const last = joined.at(-1)
    if (last?.weight === weight) last.text += text
    else joined.push({ text, weight })
  }
  return joined
}

export interface WeightedTokens {
  /** Token ids for the text encoder, [captions * chunks, 77]. */
  readonly ids: Int32Array
  /** Of each position, [captions, chunks * 77]. Start, end and padding weigh 1. */
  readonly weights: Float32Array
  /** Rows of 77 that the longest caption needs. */
  readonly chunks: number
  /** Of each caption, how many tokens did not fit and were cut off. */
  readonly cut: readonly number[]
}

/**
 * Captions as rows for the text encoder, all of as many as the longest needs, with the weight of each position. Every piece is
 * encoded on its own. Unlike in {@link ClipTokenizer.tokenize}, every row has its start and end, and what is free is filled with end
 * tokens in both versions.
 * @param maxChunks rows of a caption, 1 to 3; what does not fit is cut off
 */
export function tokenizeWeighted(
  tokenizer: ClipTokenizer,
  captions: readonly string[],
  maxChunks: number,
): WeightedTokens {
  const content = TOKEN_ROW_LENGTH - 2
  const encoded = captions.map((caption) => encodePieces(tokenizer, caption))
  const longest = Math.max(...encoded.map(({ ids }) => ids.length))
  const chunks = Math.min(maxChunks, Math.max(1, Math.ceil(longest / content)))
  const cut = encoded.map((caption) => Math.max(0, caption.ids.length - chunks * content))
  const ids = new Int32Array(captions.length * chunks * TOKEN_ROW_LENGTH).fill(EOS_ID)
  const weights = new Float32Array(ids.length).fill(1)
  encoded.forEach((caption, n) => {
    for (let chunk = 0; chunk < chunks; chunk++) {
      const row = (n * chunks + chunk) * TOKEN_ROW_LENGTH
      ids[row] = BOS_ID
      ids.set(caption.ids.slice(chunk * content, (chunk + 1) * content), row + 1)
      weights.set(caption.weights.slice(chunk * content, (chunk + 1) * content), row + 1)
    }
  })
  return { ids, weights, chunks, cut }
}

/** The ids of a caption whose brackets weigh words: of its pieces, one after the other, without start and end and of any length. */
export function encodeWeighted(tokenizer: Pick<ClipTokenizer, 'encode'>, caption: string): readonly number[] {
  return parseCaptionWeights(caption).flatMap(({ text }) => tokenizer.encode(text))
}

function encodePieces(
  tokenizer: ClipTokenizer,
  caption: string,
): { readonly ids: readonly number[]; readonly weights: readonly number[] } {
  const ids: number[] = []
  const weights: number[] = []
  for (const { text, weight } of parseCaptionWeights(caption)) {
    const own = tokenizer.encode(text)
    ids.push(...own)
    weights.push(...own.map(() => weight))
  }
  return { ids, weights }
}
