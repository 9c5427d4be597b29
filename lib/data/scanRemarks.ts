/** What there is to tell about the pictures of a folder: remarks, one of which may be made an error. */
import { parse } from 'node:path'
import type { DreamBoothSubset } from '../config/datasetConfig.ts'
import type { DataError } from '../util/errors.ts'
import { listed } from '../util/listed.ts'
import type { ScannedImage } from './scan.ts'

/** Of captions, as taggers and other trainers write them. */
const usualExtensions = /^\.(?:txt|caption|captions|cap|tags|text)$/i

/** Pictures that are left out, at most one remark. */
export function skippedImages(imageDir: string, errors: readonly DataError[], count: number): string[] {
  if (errors.length === 0) return []
  const messages = listed(errors.map((error) => error.message))
  return [`${imageDir}: ${errors.length} of ${count} pictures cannot be read and are left out: ${messages}`]
}

/** Pictures without a caption file and what they use instead, at most one remark. @param names of all files of the folder */
export function missingCaptions(
  { classTokens }: Pick<DreamBoothSubset, 'classTokens'>,
  images: readonly ScannedImage[],
  names: ReadonlySet<string>,
): string[] {
  const missing = images.filter((image) => image.caption.file === undefined).map((image) => image.path)
  if (missing.length === 0) return []
  const instead = classTokens === undefined ? 'the empty caption' : `class_tokens ${JSON.stringify(classTokens)}`
  return [
    `${missing.length} of ${images.length} pictures have no caption file and use ${instead}: ${listed(missing)}${otherCaptions(missing, names)}`,
  ]
}

/** What to do where that would be the empty caption. */
export const captionAdvice =
  'Write their captions, give class_tokens, or train with empty captions (--on_missing_caption warn)'

/** Where files of another extension stand beside pictures without a caption: the option that would make captions of them. */
function otherCaptions(missing: readonly string[], names: ReadonlySet<string>): string {
  const stems = new Set(missing.map((path) => parse(path).name))
  const counts = new Map<string, number>()
  for (const file of names) {
    const { name, ext } = parse(file)
    if (usualExtensions.test(ext) && stems.has(name)) counts.set(ext, (counts.get(ext) ?? 0) + 1)
  }
  const [most] = [...counts].sort(([, a], [, b]) => b - a)
  if (most === undefined) return ''
  const [extension, count] = most
  return `. There are ${count} files of these names with ${extension}: set caption_extension to "${extension}" if they are the captions`
}
