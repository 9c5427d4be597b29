import type { ClipTokenizer } from './tokenizer.ts'

/** The words that CLIP's tokenizer splits a text into before it looks for pairs to merge. */
const words = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/giu

/** The same for lower-case ASCII, which needs no tables of letters. */
const asciiWords = /'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+/g
const ascii = /^[\0-\x7f]*$/

/** Texts that hold special tokens, `!` among them (in 2.x), are not split by the pattern above; added tokens may stand anywhere. */
const special = /!|<\|/

/**
 * Counts the tokens of many texts, start and end left out. Words are merged on their own, so each distinct word is encoded
 * once: a caption costs a look-up for each word, some ten times less than encoding it.
 */
export function tokenCounter(tokenizer: ClipTokenizer): (text: string) => number {
  const known = new Map<string, number>()
  const countWord = (word: string): number => {
    let count = known.get(word)
    if (count === undefined) {
      count = tokenizer.encode(word).length
      known.set(word, count)
    }
    return count
  }
  return (text) => {
    if (tokenizer.addedTokens.length > 0 || special.test(text)) return tokenizer.encode(text).length
    const found = ascii.test(text)
      ? text.toLowerCase().match(asciiWords)
      : // A letter may become two in lower case, of which one is none: İ.
        text.normalize('NFC').toLowerCase().match(words)
    let count = 0
    for (const word of found ?? []) count += countWord(word)
    return count
  }
}
