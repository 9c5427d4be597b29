import { DataError } from '../util/errors.ts'

/** Where a picture's bytes come from: a file, or memory. */
export interface HeaderSource {
  readonly path: string
  /** Length of the file in bytes. */
  readonly size: number
  /** The bytes `[offset, offset + length)`, fewer at the end of the file. */
  read(offset: number, length: number): Promise<Buffer>
}

/** One read of the file; most headers lie within the first. */
const windowBytes = 4096
/** Segments, chunks or boxes looked at. A file with more is not a picture that a program wrote. */
const mostParts = 20_000

/** Reads small parts of a picture's header. Asking for bytes beyond the end is the sign of a file cut short. */
export class HeaderReader {
  readonly path: string
  readonly size: number
  readonly #source: HeaderSource
  #window: Buffer = Buffer.alloc(0)
  #windowStart = 0
  #parts = 0

  constructor(source: HeaderSource) {
    this.#source = source
    this.path = source.path
    this.size = source.size
  }

  /** @throws DataError when the file ends earlier */
  async read(offset: number, length: number): Promise<Buffer> {
    const start = offset - this.#windowStart
    if (start >= 0 && start + length <= this.#window.length) return this.#window.subarray(start, start + length)
    if (offset < 0 || offset + length > this.size) {
      throw new DataError(
        this.path,
        `the image header is cut short (the file has ${this.size} bytes): replace or remove it`,
      )
    }
    const bytes = await this.#source.read(offset, Math.min(Math.max(length, windowBytes), this.size - offset))
    if (bytes.length < length) throw new DataError(this.path, 'the file became shorter while it was read')
    this.#window = bytes
    this.#windowStart = offset
    return bytes.subarray(0, length)
  }

  /** To be called for each segment, chunk or box. @throws DataError when there are absurdly many */
  countPart(): void {
    if (++this.#parts > mostParts) throw this.damaged(`it has more than ${mostParts} parts`)
  }

  damaged(what: string): DataError {
    return new DataError(this.path, `the image header is damaged (${what}): replace or remove the file`)
  }
}

/** What a format's parser finds out. */
export interface StoredHeader {
  /** As the pixels are stored, before orientation. */
  readonly width: number
  readonly height: number
  readonly orientation: Orientation
  /** Whether the decoder turns the picture by itself, so that `orientation` is no EXIF tag. Default false. */
  readonly turnedByDecoder?: boolean
  /** Whether the colours are stored as CMYK. Default false. */
  readonly cmyk?: boolean
  readonly looksComplete: boolean
}

/**
 * How a stored picture is to be turned, as EXIF numbers it: 1 as it is, 2 mirrored left to right, 3 half a turn, 4 mirrored top to
 * bottom, 5 transposed, 6 a quarter turn clockwise, 7 transposed about the other diagonal, 8 a quarter turn anticlockwise.
 */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8

/** Whether width and height change places. */
export function swapsSides(orientation: Orientation): boolean {
  return orientation >= 5
}
