/** Cleaning of captions and tags that models have written. */
import { ConfigError } from '../util/errors.ts'
import { type CleaningRules, TAG_WORD } from './cleaningRules.ts'

const hairLength = /^(?:long|short|medium) hair$/
const anyHair = new RegExp(`^${TAG_WORD} hair$`, 'u')
const oneWord = new RegExp(`^${TAG_WORD}$`, 'u')
/** Plain words, then the word that they describe: "white shirt". */
const describedWord = new RegExp(`^(?:[\\p{L}\\p{N}_]+ )+(${TAG_WORD})$`, 'u')
const ornament = 'hair ornament'
const describedOrnament = new RegExp(`^(?:[\\p{L}\\p{N}_]+ )+${ornament}$`, 'u')

/** Room for what replacements add before they are taken for endless. */
const MOST_GROWTH = 1 << 20

export interface CleanedTags {
  readonly text: string
  /** How often `, rating` stood in the text; everything from the first on is cut. */
  readonly ratingCount: number
}

/**
 * Cleans the tags of a picture: underscores become spaces, except in `^_^`; what follows a `, rating` is cut; where several
 * people are in the picture, tags that tell them apart by hair, eyes or sleeves go; a tag goes if another one describes the
 * same thing in more words (`shirt` beside `white shirt`).
 *
 * @param text tags separated by a comma and a space; tags without the space are one tag
 */
export function cleanTags(text: string, { tagGroups }: CleaningRules): CleanedTags {
  const [spaced, ...ratings] = text.replace(/\^_\^|_/g, (found) => (found === '_' ? ' ' : found)).split(', rating')
  let tags = spaced!.split(', ')
  if (/girls|boys/.test(spaced!)) {
    for (const group of tagGroups) tags = withoutSeveral(tags, (tag) => group.test(tag))
    // One length of hair left is that of all people, whatever the colours.
    tags = withoutSeveral(tags, (tag) => anyHair.test(tag) && !hairLength.test(tag))
  }
  return { text: withoutRepetitions(tags).join(', '), ratingCount: ratings.length }
}

/** Removes all tags that match if there are more than one. */
function withoutSeveral(tags: readonly string[], matches: (tag: string) => boolean): string[] {
  const others = tags.filter((tag) => !matches(tag))
  return tags.length - others.length > 1 ? others : [...tags]
}

/** Removes single words, and `hair ornament`, that a longer tag ends with. */
function withoutRepetitions(tags: readonly string[]): string[] {
  const described = new Set(tags.map((tag) => describedWord.exec(tag)?.[1]))
  const isOrnamentDescribed = tags.some((tag) => describedOrnament.test(tag))
  return tags.filter((tag) => (tag === ornament ? !isOrnamentDescribed : !(oneWord.test(tag) && described.has(tag))))
}

/**
 * Applies the replacements to a caption in their order, each until it changes nothing.
 *
 * @throws ConfigError naming a replacement that makes the text grow without end
 */
export function cleanCaption(text: string, { captionReplacements }: CleaningRules): string {
  let cleaned = text
  for (const { from, to } of captionReplacements) {
    for (let before = ''; before !== cleaned; ) {
      before = cleaned
      cleaned = before.replaceAll(from, () => to)
      if (cleaned.length > text.length + MOST_GROWTH) {
        const problem = `caption_replacements: "${from}" to "${to}" makes a caption grow without end; change the rule`
        throw new ConfigError(problem, { option: 'caption_replacements' })
      }
    }
  }
  return cleaned
}
