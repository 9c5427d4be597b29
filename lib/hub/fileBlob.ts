import { type FileHandle, open, stat } from 'node:fs/promises'
import { toIoError } from '../io/systemError.ts'
import { IoError } from '../util/errors.ts'

/** What is read at a time. */
const PIECE_BYTES = 1 << 18

/** A file when it was looked at. */
interface Seen {
  readonly path: string
  readonly size: number
  readonly mtimeMs: number
}

/**
 * A file, or a part of one, as a `Blob` that is read when it is asked for, a piece at a time. Node 20 has two of its own that do not fit:
 * `openAsBlob` takes sizes modulo 4 GiB, and `Readable.toWeb` reads up to 65,536 pieces ahead, which is all of a file in memory.
 *
 * Reading fails with an IoError when the file cannot be read or is not the one any more that was opened.
 */
export class FileBlob extends Blob {
  override readonly size: number
  readonly #file: Seen
  readonly #start: number
  readonly #end: number

  /** @throws IoError when the file is not there */
  static async open(path: string): Promise<FileBlob> {
    try {
      const { size, mtimeMs } = await stat(path)
      return new FileBlob({ path, size, mtimeMs }, 0, size)
    } catch (error) {
      throw toIoError(path, 'read', error)
    }
  }

  private constructor(file: Seen, start: number, end: number) {
    super([])
    this.size = end - start
    this.#file = file
    this.#start = start
    this.#end = end
  }

  /** Both ends are counted from the start of this part. */
  override slice(start = 0, end = this.size): FileBlob {
    const place = (at: number): number => Math.min(this.#start + Math.max(0, at), this.#end)
    return new FileBlob(this.#file, place(start), Math.max(place(start), place(end)))
  }

  override stream(): ReturnType<Blob['stream']> {
    return ReadableStream.from(this.#pieces())
  }

  override async arrayBuffer(): Promise<ArrayBuffer> {
    const whole = new Uint8Array(this.size)
    let at = 0
    for await (const piece of this.#pieces()) {
      whole.set(piece, at)
      at += piece.length
    }
    return whole.buffer
  }

  override async text(): Promise<string> {
    return new TextDecoder().decode(await this.arrayBuffer())
  }

  async *#pieces(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const { path } = this.#file
    let file: FileHandle | undefined
    try {
      file = await open(path)
      for (let at = this.#start; at < this.#end; ) {
        await this.#expectSame(file)
        const piece = new Uint8Array(Math.min(PIECE_BYTES, this.#end - at))
        const { bytesRead } = await file.read(piece, 0, piece.length, at)
        if (bytesRead === 0) throw this.#changed()
        at += bytesRead
        yield piece.subarray(0, bytesRead)
      }
    } catch (error) {
      throw toIoError(path, 'read', error)
    } finally {
      await file?.close()
    }
  }

  async #expectSame(file: FileHandle): Promise<void> {
    const { size, mtimeMs } = await file.stat()
    if (size !== this.#file.size || mtimeMs !== this.#file.mtimeMs) throw this.#changed()
  }

  #changed(): IoError {
    return new IoError(this.#file.path, 'the file was changed while it was read; leave it as it is meanwhile')
  }
}
