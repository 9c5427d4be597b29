/** What becomes of a caption each time its picture is used. */
import type { SubsetOptions } from '../config/datasetConfig.ts'
import { pythonStrip } from '../util/pythonStrip.ts'

/** The options of a subset that concern captions. */
export type CaptionOptions = Pick<
  SubsetOptions,
  | 'shuffleCaption'
  | 'keepTokens'
  | 'keepTokensSeparator'
  | 'captionSeparator'
  | 'secondarySeparator'
  | 'enableWildcard'
  | 'captionPrefix'
  | 'captionSuffix'
  | 'captionDropoutRate'
  | 'captionDropoutEveryNEpochs'
  | 'captionTagDropoutRate'
  | 'tokenWarmupMin'
  | 'tokenWarmupStep'
>

/** When a picture is used. */
export interface CaptionUse {
  /** From 1. */
  readonly epoch: number
  /** Optimizer steps done before. */
  readonly step: number
  /** Of the whole training; what `tokenWarmupStep` below 1 is a share of. */
  readonly totalSteps: number
}

/** Where random choices come from; `PhiloxStream` is one. */
export interface CaptionRandom {
  /** Uniform in [0, 1). */
  float(): number
  /** From 0 to `bound - 1`. */
  integer(bound: number): number
  /** In place; returns the same array. */
  shuffle<T>(values: T[]): T[]
}

/**
 * The caption for one use of a picture, in the order of sd-scripts:
 *
 * 1. prefix and suffix are added, with a space;
 * 2. dropout may make it empty, which ends the processing;
 * 3. with wildcards, one line is chosen, and one of the texts in each `{a|b}`; `{{` and `}}` are braces;
 * 4. with shuffling, warm-up or tag dropout it is split into tags, which are cut, shuffled, dropped and joined by `", "`;
 * 5. secondary separators become caption separators.
 *
 * Where none of these is asked for it is returned as it is, white space included. Random numbers are drawn in the same order: dropout, line,
 * wildcards from left to right, shuffle, one for each tag that may be dropped.
 */
export function processCaption(
  caption: string,
  options: CaptionOptions,
  use: CaptionUse,
  random: CaptionRandom,
): string {
  const { captionDropoutRate: rate, captionDropoutEveryNEpochs: every } = options
  let text = withPrefixAndSuffix(caption, options)
  if (rate > 0 && random.float() < rate) return ''
  if (every > 0 && use.epoch % every === 0) return ''
  if (options.enableWildcard)
    text = chooseWildcards(chooseLine(text, random), (choices) => choices[random.integer(choices.length)]!)
  if (changesTags(options)) text = processTags(text, options, use, random)
  return withPlainSeparators(text, options)
}

/**
 * What uses of a caption can be at their longest: one text, or with wildcards one for each line, with the longest text of each `{a|b}`.
 * Tags are all there, in the order of the caption.
 */
export function longestCaptions(caption: string, options: CaptionOptions): string[] {
  const text = withPrefixAndSuffix(caption, options)
  const texts = options.enableWildcard ? text.split('\n').map((line) => chooseWildcards(line, longestOf)) : [text]
  return texts.map((each) => withPlainSeparators(withoutKeepSeparator(each, options), options))
}

function withPrefixAndSuffix(caption: string, { captionPrefix, captionSuffix }: CaptionOptions): string {
  const start = captionPrefix ? `${captionPrefix} ` : ''
  return start + caption + (captionSuffix ? ` ${captionSuffix}` : '')
}

function withPlainSeparators(text: string, { secondarySeparator, captionSeparator }: CaptionOptions): string {
  return secondarySeparator ? text.replaceAll(secondarySeparator, () => captionSeparator) : text
}

/** Where tags are split and joined, what tells those that stay is not among them. */
function withoutKeepSeparator(text: string, options: CaptionOptions): string {
  const { keepTokensSeparator: separator } = options
  if (!separator || !changesTags(options) || !text.includes(separator)) return text
  return cutTwice(text, separator)
    .filter((part) => pythonStrip(part) !== '')
    .join(', ')
}

function longestOf(texts: readonly string[]): string {
  return texts.reduce((longest, text) => (text.length > longest.length ? text : longest))
}

/** Whether two uses of a picture may have different captions, so that what is made of captions cannot be kept. */
export function captionVaries(options: CaptionOptions): boolean {
  const { captionDropoutRate, captionDropoutEveryNEpochs, enableWildcard } = options
  return captionDropoutRate > 0 || captionDropoutEveryNEpochs > 0 || enableWildcard || changesTags(options)
}

function changesTags({ shuffleCaption, tokenWarmupStep, captionTagDropoutRate }: CaptionOptions): boolean {
  return shuffleCaption || tokenWarmupStep > 0 || captionTagDropoutRate > 0
}

function chooseLine(text: string, random: CaptionRandom): string {
  const lines = text.split('\n')
  return lines.length === 1 ? text : lines[random.integer(lines.length)]!
}

/** Doubled braces stand for themselves: they are set aside as characters that the text does not hold. */
function chooseWildcards(text: string, choose: (choices: readonly string[]) => string): string {
  let [open, close] = ['\u2985', '\u2986']
  while (text.includes(open) || text.includes(close)) {
    open += '\u2985'
    close += '\u2986'
  }
  return text
    .replaceAll('{{', open)
    .replaceAll('}}', close)
    .replace(/\{([^}]+)\}/g, (_, inner: string) => choose(inner.split('|')))
    .replaceAll(open, '{')
    .replaceAll(close, '}')
}

/** Tags in three parts: at the start and at the end those that stay, between them those that may be moved and left out. */
interface SplitTags {
  readonly fixed: readonly string[]
  readonly flexible: readonly string[]
  readonly tail: readonly string[]
}

function processTags(text: string, options: CaptionOptions, use: CaptionUse, random: CaptionRandom): string {
  const { fixed, flexible, tail } = splitTags(text, options, use)
  const { shuffleCaption, captionTagDropoutRate: rate } = options
  const moved = shuffleCaption ? random.shuffle([...flexible]) : flexible
  const kept = rate > 0 ? moved.filter(() => random.float() >= rate) : moved
  return [...fixed, ...kept, ...tail].join(', ')
}

/**
 * With `keepTokensSeparator` in the text: its parts, without empty tags, and warm-up cuts the middle part. Otherwise the first `keepTokens`
 * tags stay, empty ones are kept, and warm-up cuts all of them before that, those that stay too.
 */
function splitTags(text: string, options: CaptionOptions, use: CaptionUse): SplitTags {
  const { captionSeparator, keepTokensSeparator, keepTokens } = options
  const tagsOf = (part: string): string[] => part.split(captionSeparator).map(pythonStrip)
  if (keepTokensSeparator && text.includes(keepTokensSeparator)) {
    const [fixed, flexible, tail] = cutTwice(text, keepTokensSeparator).map((part) =>
      tagsOf(part).filter((tag) => tag !== ''),
    )
    return { fixed: fixed!, flexible: warmUp(flexible!, options, use), tail: tail! }
  }
  const tags = warmUp(tagsOf(pythonStrip(text)), options, use)
  return { fixed: tags.slice(0, keepTokens), flexible: tags.slice(keepTokens), tail: [] }
}

/** What stands before the first separator, between it and the second, and after that; further ones stay in the last part. */
function cutTwice(text: string, separator: string): [string, string, string] {
  const first = text.indexOf(separator)
  const rest = text.slice(first + separator.length)
  const second = rest.indexOf(separator)
  if (second < 0) return [text.slice(0, first), rest, '']
  return [text.slice(0, first), rest.slice(0, second), rest.slice(second + separator.length)]
}

/** The leading tags that are in use at this step: from `tokenWarmupMin` to all of them, linearly. */
function warmUp(tags: string[], { tokenWarmupMin, tokenWarmupStep }: CaptionOptions, use: CaptionUse): string[] {
  const steps = tokenWarmupStep < 1 ? Math.floor(tokenWarmupStep * use.totalSteps) : tokenWarmupStep
  if (steps === 0 || use.step >= steps) return tags
  const count = Math.floor(use.step * ((tags.length - tokenWarmupMin) / steps)) + tokenWarmupMin
  return tags.slice(0, count)
}
