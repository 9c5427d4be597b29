/** What is compared of pictures to see which look alike: copies in another size, format or quality. `lookSearch.ts` compares. */
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

/** Pixels of the small picture, each way. */
export const side = 9
const words = 8
/** Bits of 128 that may differ between look-alikes. */
export const mostBits = 7
/** Mean difference of their small grey pictures, of 255. */
export const mostDifference = 4
/** How many times as wide one may be, at equal heights. */
export const mostRatio = 1.03

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

/** Where a picture of 9 by 9 grey pixels gets brighter; see {@link Look}. */
export function hashOf(grey: Uint8Array): Uint16Array {
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
