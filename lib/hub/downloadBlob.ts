import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { toIoError } from '../io/systemError.ts'
import { CheckpointError, HubError } from '../util/errors.ts'
import { withFileLock } from './fileLock.ts'
import { type HubFetch, shownUrl } from './hubFetch.ts'

/** One file of a repository, as the hub lists it. */
export interface HubFile {
  /** From the repository's root, with `/`. */
  readonly path: string
  readonly bytes: number
  /** Name of the file's blob in the cache: SHA-256 of a large (LFS) file, git's SHA-1 of a small one, hexadecimal. */
  readonly etag: string
}

export interface DownloadOptions {
  /** To begin messages with: `org/name@main`. */
  readonly id: string
  readonly url: URL
  readonly fetch: HubFetch
  /** Where the content goes when it is whole and checked: `blobs/<etag>`. */
  readonly blob: string
  readonly lock: string
  readonly signal?: AbortSignal | undefined
  /** How many times in a row a broken connection is taken up again. A mebibyte of progress starts the count anew. */
  readonly retries: number
  readonly onProgress?: ((receivedBytes: number) => void) | undefined
}

/** No byte for so long counts as a broken connection. */
const STALL_MS = 60_000
const PROGRESS_BYTES = 1 << 20

/**
 * Makes sure that a file's content is in the cache. What an earlier try left in `<blob>.incomplete` is kept and continued with a
 * `Range` request; the content takes its name after its size and hash have been found right.
 *
 * @throws CheckpointError for a wrong hash (the content is removed); HubError for the network and the hub; IoError for the disk;
 *   what `signal` was aborted with. Except after a wrong hash, what has arrived stays in `<blob>.incomplete`.
 */
export async function downloadBlob(file: HubFile, options: DownloadOptions): Promise<void> {
  const { blob, lock, signal, onProgress } = options
  if (await isWhole(blob, file.bytes)) return onProgress?.(file.bytes)
  await withFileLock(
    lock,
    async () => {
      if (await isWhole(blob, file.bytes)) return onProgress?.(file.bytes)
      // Bytes of another program's try may be wrong: then everything is fetched once more.
      if (!(await new Download(file, options).run())) await new Download(file, options).run()
    },
    { signal },
  )
}

/** Whether a file is there with its size. Its name is its hash, checked before it took that name. */
async function isWhole(blob: string, bytes: number): Promise<boolean> {
  return (await stat(blob).catch(() => undefined))?.size === bytes
}

class Download {
  readonly #path: string
  #file!: FileHandle
  #hash!: Hash
  #offset = 0
  /** Bytes that were there before: not from this run. */
  #found = 0
  #reported = -PROGRESS_BYTES

  constructor(
    readonly file: HubFile,
    readonly options: DownloadOptions,
  ) {
    this.#path = `${options.blob}.incomplete`
  }

  /** @returns false when the hash is wrong and bytes of an earlier try may be to blame: they are removed */
  async run(): Promise<boolean> {
    const { blob } = this.options
    try {
      this.#file = await open(this.#path, 'a').then(async (created) => {
        await created.close()
        return open(this.#path, 'r+')
      })
      try {
        await this.#takeUp()
        await this.#receive()
        if (!(await this.#verify())) return false
        await this.#file.sync()
      } finally {
        await this.#file.close()
      }
      // Without a lock that holds (some network file systems) another process may have finished the same content first.
      await rename(this.#path, blob).catch(async (error: unknown) => {
        if (!(await isWhole(blob, this.file.bytes))) throw error
      })
    } catch (error) {
      const { path, bytes } = this.file
      throw toIoError(this.#path, `download ${path} (${bytes} bytes)`, error, 'what has arrived is kept')
    }
    return true
  }

  /** Hashes what an earlier try left. */
  async #takeUp(): Promise<void> {
    const { size } = await this.#file.stat()
    if (size > this.file.bytes || size === 0) return this.#restart()
    this.#hash = this.#newHash()
    for await (const chunk of createReadStream(this.#path, { highWaterMark: 1 << 20, end: size - 1 })) {
      this.options.signal?.throwIfAborted()
      this.#hash.update(chunk as Buffer)
      this.#offset += (chunk as Buffer).length
    }
    this.#found = this.#offset
    this.#report()
  }

  async #restart(): Promise<void> {
    await this.#file.truncate(0)
    this.#hash = this.#newHash()
    this.#offset = 0
    this.#found = 0
    this.#report()
  }

  /** Git's hash of a blob begins with its kind and size; SHA-256 is of the bytes alone. */
  #newHash(): Hash {
    const { etag, bytes } = this.file
    return etag.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${bytes}\0`)
  }

  async #receive(): Promise<void> {
    const { id, retries, url, signal } = this.options
    let failures = 0
    while (this.#offset < this.file.bytes) {
      const start = this.#offset
      let reason = 'it ended early'
      const body = await this.#request()
      try {
        for await (const chunk of withoutStalls(body, signal)) await this.#write(chunk)
      } catch (error) {
        signal?.throwIfAborted()
        if (!(error instanceof BrokenConnection)) throw error
        reason = error.message
      }
      if (this.#offset >= this.file.bytes) return
      failures = this.#offset - start >= PROGRESS_BYTES ? 1 : failures + 1
      if (failures <= retries) continue
      const got = `${this.#offset} of ${this.file.bytes} bytes of ${this.file.path}`
      const text = `the connection to ${url.origin} broke ${failures} times (${reason}); ${got} are kept. Run it again to go on.`
      throw new HubError(id, text, { reason: 'network', url: shownUrl(url) })
    }
  }

  async #request(): Promise<ReadableStream<Uint8Array>> {
    const { fetch, url, id } = this.options
    const headers = this.#offset > 0 ? { range: `bytes=${this.#offset}-` } : {}
    const response = await fetch(url, { headers }).catch((error: unknown) => {
      // Range not satisfiable: the server's file is shorter than what is here.
      if (error instanceof HubError && error.details.status === 416 && this.#offset > 0) return undefined
      throw error
    })
    if (response === undefined) {
      await this.#restart()
      return this.#request()
    }
    if (this.#offset > 0 && response.status !== 206) await this.#restart()
    const { status } = response
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '')
    const right = status === 206 ? Number(range?.[1]) === this.#offset : status === 200
    if (!right || response.body === null) {
      const text = `${shownUrl(url)} did not answer with the bytes that were asked for, from ${this.#offset} on (${status}).`
      throw new HubError(id, text, { reason: 'answer', url: shownUrl(url), status })
    }
    return response.body
  }

  async #write(chunk: Uint8Array): Promise<void> {
    const { id, url, signal } = this.options
    signal?.throwIfAborted()
    if (this.#offset + chunk.length > this.file.bytes) {
      await this.#restart()
      const text = `${shownUrl(url)} sends more than the ${this.file.bytes} bytes that the hub lists for ${this.file.path}.`
      throw new HubError(id, text, { reason: 'answer', url: shownUrl(url) })
    }
    for (let at = 0; at < chunk.length; ) {
      // At its place, not at the end: two processes without a lock that holds then write the same bytes.
      const { bytesWritten } = await this.#file.write(chunk, at, chunk.length - at, this.#offset + at)
      at += bytesWritten
    }
    this.#hash.update(chunk)
    this.#offset += chunk.length
    this.#report()
  }

  #report(): void {
    const { onProgress } = this.options
    if (this.#offset < this.file.bytes && Math.abs(this.#offset - this.#reported) < PROGRESS_BYTES) return
    this.#reported = this.#offset
    onProgress?.(this.#offset)
  }

  async #verify(): Promise<boolean> {
    const { id, url } = this.options
    const { etag, path, bytes } = this.file
    const found = this.#hash.digest('hex')
    const { size } = await this.#file.stat()
    if (found === etag && size === bytes) return true
    await rm(this.#path, { force: true })
    if (this.#found > 0) return false
    const kind = etag.length === 64 ? 'SHA-256' : 'git SHA-1'
    throw new CheckpointError(
      `${id}: ${path}`,
      `expected ${bytes} bytes with ${kind} ${etag}, received ${size} bytes with ${found} from ${url.origin}; the download was ` +
        'removed. Try again; if it stays, a proxy or the mirror of HF_ENDPOINT changes files',
    )
  }
}

class BrokenConnection extends Error {}

/** The chunks of a body; what ends it early, `signal` too, comes as {@link BrokenConnection}. */
async function* withoutStalls(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const reader = body.getReader()
  let end = (_: Error): void => {}
  const ended = new Promise<never>((_, reject) => {
    end = reject
  })
  ended.catch(() => {})
  const timer = setTimeout(() => end(new Error(`no data for ${STALL_MS / 1000} s`)), STALL_MS)
  const abort = (): void => end(new Error('aborted'))
  signal?.addEventListener('abort', abort, { once: true })
  try {
    for (;;) {
      if (signal?.aborted) abort()
      timer.refresh()
      const { done, value } = await Promise.race([ended, reader.read()]).catch((error: unknown) => {
        const { cause, message } = error as Error
        const { code } = (cause ?? {}) as { code?: unknown }
        throw new BrokenConnection(typeof code === 'string' ? code : message, { cause: error })
      })
      if (done) return
      yield value
    }
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
    // Ends the connection where the consumer stopped early.
    void reader.cancel().catch(() => {})
  }
}
