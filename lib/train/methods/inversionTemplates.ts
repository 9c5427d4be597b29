/** Captions in place of those of the pictures, for textual inversion (Gal et al., arXiv 2208.01618, whose lists these are). */
import { PhiloxStream } from '../../util/philox.ts'
import type { BatchKey } from '../step/noise.ts'

/** `object`: what a thing looks like; `style`: how pictures are painted. */
export type TemplateKind = 'object' | 'style'

/** What stands before the token. Those that are there twice are drawn twice as often. */
export const templates: Readonly<Record<TemplateKind, readonly string[]>> = {
  object: [
    'a photo of a',
    'a rendering of a',
    'a cropped photo of the',
    'the photo of a',
    'a photo of a clean',
    'a photo of a dirty',
    'a dark photo of the',
    'a photo of my',
    'a photo of the cool',
    'a close-up photo of a',
    'a bright photo of the',
    'a cropped photo of a',
    'a photo of the',
    'a good photo of the',
    'a photo of one',
    'a close-up photo of the',
    'a rendition of the',
    'a photo of the clean',
    'a rendition of a',
    'a photo of a nice',
    'a good photo of a',
    'a photo of the nice',
    'a photo of the small',
    'a photo of the weird',
    'a photo of the large',
    'a photo of a cool',
    'a photo of a small',
  ],
  style: [
    'a painting',
    'a rendering',
    'a cropped painting',
    'the painting',
    'a clean painting',
    'a dirty painting',
    'a dark painting',
    'a picture',
    'a cool painting',
    'a close-up painting',
    'a bright painting',
    'a cropped painting',
    'a good painting',
    'a close-up painting',
    'a rendition',
    'a nice painting',
    'a small painting',
    'a weird painting',
    'a large painting',
  ].map((head) => `${head} in the style of`),
}

/** One caption for each of the batch's samples: a function of seed, epoch, batch and place in the batch. */
export function templateCaptions(
  kind: TemplateKind,
  token: string,
  count: number,
  seed: number | bigint,
  { epoch, batch }: BatchKey,
): string[] {
  const choices = templates[kind]
  return Array.from({ length: count }, (_, slot) => {
    const choice = new PhiloxStream(seed, 'template', epoch, batch, slot).integer(choices.length)
    return `${choices[choice]} ${token}`
  })
}
