/** The emoji pictures of the development dependency @lobehub/fluent-emoji-3d (MIT), by the names of unicode-emoji-json. */
import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { DataError } from '../util/errors.ts'

export interface Emoji {
  /** Its Unicode name: `red apple`. */
  readonly name: string
  /** Its Unicode group: `Food & Drink`. */
  readonly group: string
  /** A `.webp` with an alpha channel. */
  readonly file: string
}

/**
 * All emoji that have both a name and a picture, in Unicode's order, without skin tones.
 * @throws DataError when the packages are not installed: this works in a checkout, not in a published package
 */
export async function findEmoji(): Promise<Emoji[]> {
  const names = JSON.parse(await readFile(locate('unicode-emoji-json/data-by-emoji.json'), 'utf8')) as Readonly<
    Record<string, { readonly name: string; readonly group: string }>
  >
  const pictures = join(dirname(locate('@lobehub/fluent-emoji-3d/package.json')), 'assets')
  const files = new Set(await readdir(pictures))
  return Object.entries(names).flatMap(([emoji, { name, group }]) => {
    // Pictures are named after their code points, some of them without the selector of colourful presentation.
    const candidates = [emoji, emoji.replaceAll('\ufe0f', '')].map((text) => `${codePoints(text)}.webp`)
    const file = candidates.find((candidate) => files.has(candidate))
    return file === undefined ? [] : [{ name, group, file: join(pictures, file) }]
  })
}

/** PNG of a picture laid on white. */
export async function drawOnWhite(file: string, size: number): Promise<Uint8Array> {
  const { default: sharp } = await import('sharp')
  const picture = sharp(file).flatten({ background: '#ffffff' }).resize(size, size, { fit: 'fill' })
  return picture.toColourspace('srgb').png().toBuffer()
}

/** `owl` as `an owl`. */
export function withArticle(name: string): string {
  const startsWithVowelSound = /^[aeiou]/i.test(name) && !/^(eu|ewe|uni|use)/i.test(name)
  return `${startsWithVowelSound ? 'an' : 'a'} ${name}`
}

/** A name as part of a file name. */
export function slug(name: string): string {
  const plain = name
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
  return plain.replace(/^-|-$/g, '') || 'picture'
}

function codePoints(text: string): string {
  return Array.from(text, (character) => character.codePointAt(0)!.toString(16)).join('-')
}

function locate(file: string): string {
  try {
    return createRequire(import.meta.url).resolve(file)
  } catch (error) {
    const message = 'expected this development dependency; run `npm install` in a checkout of noisewright'
    throw new DataError(file, message, { cause: error })
  }
}
