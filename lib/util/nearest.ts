import { distance } from 'fastest-levenshtein'

/** The candidate closest in spelling to `word`, or undefined when none is near enough to be a likely typo. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const candidate of candidates) {
    const d = distance(word.toLowerCase(), candidate.toLowerCase())
    if (d < bestDistance) {
      bestDistance = d
      best = candidate
    }
  }
  return best
}

/** ` Did you mean "x"?`, or an empty string. Appended to messages about unknown names. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const name = nearest(word, candidates)
  return name === undefined ? '' : ` Did you mean "${name}"?`
}
