/** Captions from files next to the pictures. */
import { readFile } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import { DataError } from '../util/errors.ts'
import { pythonStrip } from '../util/pythonStrip.ts'

export interface CaptionSource {
  /** With its leading dot. */
  readonly captionExtension: string
  /** Caption when there is no file; undefined means none, which is not the same as the empty caption. */
  readonly classTokens?: string | undefined
  /** Whether every line of a caption file counts, for one to be chosen at each use. Default false: the first line. */
  readonly enableWildcard?: boolean
}

export interface Caption {
  readonly text: string
  /** The file it came from; undefined when there is none. */
  readonly file: string | undefined
}

/** `folder/name.png` as `folder/name`; the folder is kept as written. */
function withoutExtension(path: string): string {
  return path.slice(0, path.length - extname(path).length)
}

/**
 * Caption files to look for, in order: the picture's name with the caption extension; then, for a name that ends in the four
 * numbers a face cropper adds (`name_<x>_<y>_<width>_<height>`), the name without them.
 */
export function captionCandidates(imagePath: string, captionExtension: string): string[] {
  const base = withoutExtension(imagePath)
  const candidates = [base + captionExtension]
  const pieces = basename(base).split('_')
  if (pieces.length >= 5) candidates.push(join(dirname(base), pieces.slice(0, -4).join('_') + captionExtension))
  return candidates
}

/**
 * The caption of a picture: the first line of its caption file, trimmed, or with wildcards all lines that are not blank; without a
 * file, `classTokens` or the empty text.
 *
 * @param read gives the bytes of a caption file, undefined when there is none. Default: from the disk
 * @throws DataError when a caption file exists but is empty, unreadable or not UTF-8
 */
export async function readCaption(
  imagePath: string,
  source: CaptionSource,
  read: (file: string) => Buffer | undefined | Promise<Buffer | undefined> = readIfPresent,
): Promise<Caption> {
  for (const file of captionCandidates(imagePath, source.captionExtension)) {
    const bytes = await read(file)
    if (bytes === undefined) continue
    return captionFromText(file, decodeUtf8(file, bytes), source)
  }
  return captionWithoutFile(source)
}

/** The caption that the text of a caption file, without a byte order mark, stands for. @throws DataError when it is empty */
export function captionFromText(file: string, text: string, { enableWildcard = false }: CaptionSource): Caption {
  if (text === '')
    throw new DataError(
      file,
      'the caption file is empty: write a caption, or a blank line for none, or remove the file',
    )
  if (enableWildcard) {
    const lines = text.split(lineEnd).map(pythonStrip)
    return { text: lines.filter((line) => line !== '').join('\n'), file }
  }
  const end = text.search(lineEnd)
  return { text: pythonStrip(end < 0 ? text : text.slice(0, end)), file }
}

const lineEnd = /\r\n|\n|\r/

export function captionWithoutFile({ classTokens }: CaptionSource): Caption {
  return { text: classTokens ?? '', file: undefined }
}

/** The bytes of a caption file; undefined when there is none. @throws DataError when it cannot be read */
export async function readIfPresent(file: string): Promise<Buffer | undefined> {
  try {
    return await readFile(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new DataError(file, `the caption cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

/**
 * The text of a caption file, strict UTF-8.
 *
 * @param keepMark whether a byte order mark stays at the start of the text, as in Python. Default false
 * @throws DataError naming the first byte that is not UTF-8
 */
export function decodeUtf8(file: string, bytes: Buffer, { keepMark = false } = {}): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: keepMark }).decode(bytes)
  } catch (error) {
    const reencoded = Buffer.from(bytes.toString('utf8'))
    const offset = bytes.findIndex((byte, at) => byte !== reencoded[at])
    const message = `the caption is not UTF-8 text (byte ${offset} is 0x${bytes[offset]?.toString(16)}): save it again as UTF-8`
    throw new DataError(file, message, { cause: error })
  }
}
