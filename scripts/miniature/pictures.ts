/** The pictures of the miniature and their captions, as files that fine-tuning reads. */
import { mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { drawOnWhite, type Emoji, findEmoji, slug } from '../../lib/demo/emoji.ts'
import { atomicWrite } from '../../lib/io/atomicWrite.ts'
import type { Pictures } from './autoencoder.ts'
import { captionsOf, colourOf } from './captions.ts'
import { pictureSize } from './sizes.ts'

/** A group the miniature never sees: what is left to be learned. */
export const unseenGroup = 'Flags'

/** What the miniature is trained on. */
export async function knownEmoji(): Promise<Emoji[]> {
  return (await findEmoji()).filter(({ group }) => group !== unseenGroup)
}

/** Pixels of emoji in their order. */
export async function drawAll(emoji: readonly Emoji[]): Promise<Pictures> {
  const bytes = pictureSize * pictureSize * 3
  const pixels = new Uint8Array(emoji.length * bytes)
  for (const [i, { file }] of emoji.entries())
    pixels.set(
      await sharp(await drawOnWhite(file, pictureSize))
        .raw()
        .toBuffer(),
      i * bytes,
    )
  return { size: pictureSize, count: emoji.length, pixels }
}

/**
 * Writes `pictures/0123-red-apple.png` and `metadata.json` with all their captions, unless they are there.
 * @returns the metadata file
 */
export async function writePictures(folder: string, emoji: readonly Emoji[], pictures: Pictures): Promise<string> {
  const metadataFile = join(folder, 'metadata.json')
  if (await stat(metadataFile).catch(() => null)) return metadataFile
  const imageFolder = join(folder, 'pictures')
  await mkdir(imageFolder, { recursive: true })
  const metadata: Record<string, { caption: string }> = {}
  const bytes = pictures.size ** 2 * 3
  for (const [i, each] of emoji.entries()) {
    const pixels = pictures.pixels.subarray(i * bytes, (i + 1) * bytes)
    const path = join(imageFolder, `${String(i).padStart(4, '0')}-${slug(each.name)}.png`)
    await atomicWrite(
      path,
      await sharp(pixels, { raw: { width: pictures.size, height: pictures.size, channels: 3 } })
        .png()
        .toBuffer(),
    )
    metadata[path] = { caption: captionsOf(each, colourOf(pixels)).join('\n') }
  }
  await atomicWrite(metadataFile, JSON.stringify(metadata, null, 1))
  return metadataFile
}
