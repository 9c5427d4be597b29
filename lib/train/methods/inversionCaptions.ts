/** Whether captions hold the token that is to be learned. */
import type { DatasetImage } from '../../data/dataset.ts'
import type { DatasetGroup } from '../../data/datasetGroup.ts'
import { DataError } from '../../util/errors.ts'
import { listed } from '../../util/listed.ts'

/**
 * What to tell about captions before the embeddings of a token are trained without templates: pictures of the subject whose caption
 * lacks the token, from which nothing is learned, and words that contain it, since it stands for its rows in them too.
 * Regularization pictures are not asked. Captions count as stored, with prefix and suffix.
 *
 * @throws DataError when no caption has the token
 */
export function inversionCaptionWarnings(group: Pick<DatasetGroup, 'datasets'>, token: string): readonly string[] {
  const images = group.datasets.flatMap((dataset) => dataset.images).filter(({ subset }) => !subset.isReg)
  const [first] = images
  if (first === undefined) return []
  const without = images.filter((image) => !captionOf(image).includes(token))
  if (without.length === images.length)
    throw new DataError(
      first.path,
      `expected the token_string "${token}" in the caption, in this spelling, found "${captionOf(first)}" here and the like in all ` +
        `${images.length} captions: nothing would be learned. Write it into the captions or class_tokens, or ask for templates`,
    )
  const warnings: string[] = []
  if (without.length > 0)
    warnings.push(
      `${without.length} of ${images.length} captions lack the token_string "${token}", and nothing is learned from their pictures: ` +
        listed(without.map(({ path }) => path)),
    )
  const words = new Set(images.flatMap((image) => wordsAround(captionOf(image), token)))
  if (words.size > 0)
    warnings.push(
      `the token_string "${token}" is part of words of the captions, where it stands for what is learned too: ` +
        `${listed([...words])}. Choose a token_string that no word contains`,
    )
  return warnings
}

/** What to tell where templates take the place of captions: which options of the data do nothing then. */
export function templateWarnings(group: Pick<DatasetGroup, 'datasets'>): readonly string[] {
  const subsets = group.datasets.flatMap((dataset) => dataset.subsets.map(({ config }) => config))
  const changes = {
    shuffle_caption: subsets.some(({ shuffleCaption }) => shuffleCaption),
    token_warmup_step: subsets.some(({ tokenWarmupStep }) => tokenWarmupStep > 0),
    enable_wildcard: subsets.some(({ enableWildcard }) => enableWildcard),
    caption_prefix: subsets.some(({ captionPrefix }) => captionPrefix !== undefined),
    caption_suffix: subsets.some(({ captionSuffix }) => captionSuffix !== undefined),
  }
  const idle = Object.entries(changes).flatMap(([name, isAsked]) => (isAsked ? [name] : []))
  return idle.length === 0 ? [] : [`templates take the place of captions, so these have no effect: ${idle.join(', ')}`]
}

function captionOf({ caption, subset: { captionPrefix, captionSuffix } }: DatasetImage): string {
  return [captionPrefix, caption, captionSuffix].filter(Boolean).join(' ')
}

/** The words that contain a token and are longer than it. */
function wordsAround(caption: string, token: string): string[] {
  const found: string[] = []
  for (let at = caption.indexOf(token); at >= 0; at = caption.indexOf(token, at + token.length)) {
    const before = /[\p{L}\p{N}]*$/u.exec(caption.slice(0, at))![0]
    const after = /^[\p{L}\p{N}]*/u.exec(caption.slice(at + token.length))![0]
    if (before !== '' || after !== '') found.push(before + token + after)
  }
  return found
}
