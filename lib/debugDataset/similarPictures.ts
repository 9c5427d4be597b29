/** Which pictures look alike: copies in another size, format or quality. */
import { decodeImage } from '../data/image.ts'
import { readImageHeader } from '../data/imageHeader.ts'
import { DataError } from '../util/errors.ts'

/** What is compared of a picture. */
export interface Look {
  /** Width over height. */
  readonly ratio: number
  /** The picture in grey, 9 by 9 pixels, rows top to bottom. */
  readonly grey: Uint8Array
  /** Where it gets brighter from one pixel to the next, to the right (64) and downwards (64), in words of 16 bits. */
  readonly hash: Uint16Array
}

const side = 9
const words = 8
/** Bits of 128 that may differ. Less than the number of words, so that two look-alikes have at least one word in common. */
const mostBits = 7
/** Mean difference of the small grey pictures, of 255. */
const mostDifference = 4
const mostRatio = 1.03
/** Words that more pictures than this have in common say little, such as that of a plain background. */
const mostShared = 400

/** @throws DataError when the picture cannot be decoded */
export async function readLook(path: string, { ignoreExif = false }: { readonly ignoreExif?: boolean }): Promise<Look> {
  const { format, width, height } = await readImageHeader(path, { ignoreExif })
  const { default: sharp } = await import('sharp')
  const small = { width: side, height: side, fit: 'fill' } as const
  try {
    const picture = format === 'bmp' ? await decodeImage(path) : undefined
    const opened = picture
      ? sharp(picture.pixels, { raw: { width, height, channels: 3 } })
      : sharp(path, { ignoreIcc: true, failOn: 'error', autoOrient: !ignoreExif })
    const grey = await opened
      .removeAlpha()
      .resize(small)
      .greyscale()
      .toColourspace('b-w')
      .raw({ depth: 'uchar' })
      .toBuffer()
    return { ratio: width / height, grey: new Uint8Array(grey), hash: hashOf(grey) }
  } catch (error) {
    if (error instanceof DataError) throw error
    throw new DataError(path, `cannot be decoded: ${(error as Error).message}`, { cause: error })
  }
}

function hashOf(grey: Uint8Array): Uint16Array {
  const hash = new Uint16Array(words)
  for (let i = 0; i < 64; i++) {
    const at = (i >> 3) * side + (i & 7)
    const rights = grey[at + 1]! > grey[at]! ? 1 : 0
    const downs = grey[at + side]! > grey[at]! ? 1 : 0
    hash[i >> 4]! |= rights << (i & 15)
    hash[4 + (i >> 4)]! |= downs << (i & 15)
  }
  return hash
}

/**
 * Pairs that look alike, each once, as positions in the list. Only those are compared that have a word of their hashes in common, which
 * of 100,000 different pictures are few.
 */
export function similarPairs(looks: readonly Look[]): (readonly [number, number])[] {
  const pairs = new Map<number, readonly [number, number]>()
  for (let word = 0; word < words; word++) {
    const groups = new Map<number, number[]>()
    for (const [at, { hash }] of looks.entries()) {
      const group = groups.get(hash[word]!)
      if (group === undefined) groups.set(hash[word]!, [at])
      else group.push(at)
    }
    for (const group of groups.values()) {
      if (group.length > mostShared) continue
      for (const [i, a] of group.entries())
        for (const b of group.slice(i + 1)) if (areAlike(looks[a]!, looks[b]!)) pairs.set(a * looks.length + b, [a, b])
    }
  }
  return [...pairs.entries()].sort(([a], [b]) => a - b).map(([, pair]) => pair)
}

function areAlike(a: Look, b: Look): boolean {
  if (Math.max(a.ratio, b.ratio) > mostRatio * Math.min(a.ratio, b.ratio)) return false
  let bits = 0
  for (let word = 0; word < words; word++) bits += bitCount(a.hash[word]! ^ b.hash[word]!)
  if (bits > mostBits) return false
  const difference = a.grey.reduce((sum, value, i) => sum + Math.abs(value - b.grey[i]!), 0)
  return difference <= mostDifference * a.grey.length
}

function bitCount(word: number): number {
  let count = 0
  for (let rest = word; rest !== 0; rest &= rest - 1) count++
  return count
}
