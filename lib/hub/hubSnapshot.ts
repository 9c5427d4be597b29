import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { toIoError } from '../io/systemError.ts'
import { CheckpointError, HubError } from '../util/errors.ts'
import { mapLimited } from '../util/mapLimited.ts'
import { downloadBlob, type HubFile } from './downloadBlob.ts'
import { createHubFetch, type HubFetch } from './hubFetch.ts'
import { type HubPlace, isCommit, isHostilePath, isSafePath, webPath } from './hubId.ts'
import { ModelCache } from './modelCache.ts'
import type { ModelFiles } from './modelFiles.ts'
import { hubCacheFolder, hubEndpoint, hubOffline, hubToken } from './settings.ts'

export interface HubProgress {
  /** From the repository's root, with `/`. */
  readonly file: string
  readonly receivedBytes: number
  readonly totalBytes: number
}

/** How the hub is reached. */
export interface HubConnectionOptions {
  /** Default: {@link hubToken}. */
  readonly token?: string | undefined
  /** Default: `HF_ENDPOINT`, else https://huggingface.co. */
  readonly endpoint?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** How often a request or a broken transfer is tried again. Default 5. */
  readonly retries?: number | undefined
  /** The first pause before another try, in milliseconds; each following one is twice as long. Default 500. */
  readonly retryDelayMs?: number | undefined
}

/** How files are downloaded. Aborting `signal` ends it; what has arrived is kept and continued next time. */
export interface HubDownloadOptions extends HubConnectionOptions {
  /** Default: {@link hubCacheFolder}. */
  readonly cacheFolder?: string | undefined
  /** Use the cache only. Default: whether `HF_HUB_OFFLINE` says so. */
  readonly offline?: boolean | undefined
  /** Called at the start and the end of each file and about once for each mebibyte. */
  readonly onProgress?: ((progress: HubProgress) => void) | undefined
}

/** Files of a repository in the cache. */
export interface HubSnapshot {
  /** What was asked for, below `folder` or that folder itself. */
  readonly path: string
  /** The snapshot's folder in the cache. */
  readonly folder: string
  readonly commit: string
  /** The files below `folder` that were asked for, sorted. */
  readonly files: readonly string[]
}

/** Which files of a repository are wanted. */
export interface Selection {
  /**
   * @param paths every file that the repository, or what the cache has of it, holds
   * @throws CheckpointError when it holds no such files
   */
  choose(paths: ReadonlySet<string>, readText: (path: string) => Promise<string>): Promise<ModelFiles>
  /** What is uncertain about a choice among the files in the cache alone; undefined when nothing is. */
  lackOf(chosen: ModelFiles): string | undefined
}

const DOWNLOADS_AT_ONCE = 4
/** A repository of models lists hundreds of files; a listing beyond this is a fault or an attack. */
const MAX_LISTED_FILES = 100_000
/** Configurations and indexes of shards are read into memory. */
const MAX_TEXT_BYTES = 1 << 26

/**
 * Downloads the files that are wanted into the cache, or finds them there. With the network one small request tells whether a branch has
 * moved; without it, or for a commit that is cached whole, nothing is asked.
 *
 * @throws as {@link resolveHubModel}
 */
export async function resolveSnapshot(
  place: HubPlace,
  selection: Selection,
  options: HubDownloadOptions,
): Promise<HubSnapshot> {
  const lookup = new Lookup(place, selection, options)
  const { revision } = place
  const known = await lookup.cache.commitOf(revision)
  const cached = known === undefined ? undefined : await lookup.fromCache(known)
  if (cached?.model && isCommit(revision)) return cached.model
  if (cached?.refusal && isCommit(revision)) throw cached.refusal
  if (options.offline ?? hubOffline()) {
    if (cached?.model) return cached.model
    throw cached?.refusal ?? lookup.notCached(cached?.missing)
  }
  // With a whole model at hand, one failed try is enough.
  const fetch = await lookup.connect(cached?.model ? 0 : undefined)
  const commit = await lookup.currentCommit(fetch).catch((error: unknown) => {
    const passing = error instanceof HubError && ['network', 'server', 'rateLimited'].includes(error.details.reason)
    if (passing && cached?.model) return undefined
    throw error
  })
  if (cached?.model && (commit === undefined || commit === known)) return cached.model
  return await lookup.download(commit!, cached?.model ? await lookup.connect() : fetch)
}

interface Cached {
  /** Present when nothing is missing. */
  readonly model?: HubSnapshot
  readonly missing?: string
  /** The repository, whose files are known, holds nothing of the kind. */
  readonly refusal?: CheckpointError
}

/** What one call works with. */
class Lookup {
  readonly cache: ModelCache
  readonly #name: string
  readonly #endpoint: string

  constructor(
    readonly place: HubPlace,
    readonly selection: Selection,
    readonly options: HubDownloadOptions,
  ) {
    this.#name = `${webPath(place)}@${place.revision}`
    this.#endpoint = hubEndpoint(options.endpoint)
    this.cache = new ModelCache(options.cacheFolder ?? hubCacheFolder(), place)
  }

  async connect(retries = this.options.retries ?? 5, signal = this.options.signal): Promise<HubFetch> {
    const { retryDelayMs = 500 } = this.options
    const token = await hubToken(this.options.token)
    return createHubFetch({ id: this.#name, endpoint: this.#endpoint, token, signal, retries, retryDelayMs })
  }

  /** What the cache knows of a commit. */
  async fromCache(commit: string): Promise<Cached> {
    const folder = this.cache.snapshot(commit)
    const present = await this.cache.filesOf(commit)
    if (present.size === 0) return {}
    const listed = await this.cache.listingOf(commit)
    let unread: string | undefined
    try {
      const chosen = await this.selection.choose(listed ?? present, (path) => {
        if (present.has(path)) return readText(join(folder, path))
        unread = path
        throw new CheckpointError(this.#name, `${path} is not in the cache`)
      })
      const missing = [...chosen.missing, ...chosen.files.filter((path) => !present.has(path))]
      if (missing.length > 0) return { missing: missing.join(', ') }
      const lack = listed === undefined ? this.selection.lackOf(chosen) : undefined
      return lack === undefined ? { model: this.#snapshot(commit, chosen) } : { missing: lack }
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error
      if (unread !== undefined) return { missing: unread }
      return listed === undefined ? { missing: "a list of the repository's files" } : { refusal: error }
    }
  }

  notCached(missing: string | undefined): HubError {
    const lack = missing === undefined ? 'nothing of this revision is in the cache' : `the cache lacks ${missing}`
    const how =
      'HF_HUB_OFFLINE or the option "offline" forbids downloading: allow it once, or give a folder or file instead.'
    return new HubError(this.#name, `${lack}. ${how}`, { reason: 'offline' })
  }

  /** One small lookup. */
  async currentCommit(fetch: HubFetch): Promise<string> {
    const { modelInfo, datasetInfo, spaceInfo } = await import('@huggingface/hub')
    const { repository: name, revision, type } = this.place
    const asked = { name, revision, hubUrl: this.#endpoint, fetch, additionalFields: ['sha' as const] }
    const info = await this.#ask((): Promise<{ sha?: unknown }> => {
      if (type === 'dataset') return datasetInfo(asked)
      return type === 'space' ? spaceInfo(asked) : modelInfo(asked)
    })
    const commit: unknown = info.sha
    if (typeof commit === 'string' && isCommit(commit)) return commit
    throw this.#badAnswer(`expected a commit of 40 hexadecimal digits, received ${shown(commit)}`)
  }

  async download(commit: string, fetch: HubFetch): Promise<HubSnapshot> {
    const listed = await this.#list(commit, fetch)
    await this.cache.makeFolders()
    const chosen = await this.selection.choose(new Set(listed.keys()), async (path) => {
      await this.#fetchAll(commit, [listed.get(path)!])
      return readText(this.cache.blob(listed.get(path)!.etag))
    })
    if (chosen.missing.length > 0)
      throw new CheckpointError(this.#name, `the repository lacks ${chosen.missing.join(', ')}`)
    const files = chosen.files.map((path) => listed.get(path)!)
    await this.cache.expectRoom(files)
    await this.#fetchAll(commit, files)
    // Only now: a snapshot that can be seen is whole, and the last link is the file that says what it is.
    for (const { path, etag } of files) await this.cache.place(commit, path, etag)
    const sizes = new Map([...listed.values()].map(({ path, bytes }) => [path, bytes]))
    await this.cache.rememberListing(commit, sizes)
    await this.cache.remember(this.place.revision, commit)
    return this.#snapshot(commit, chosen)
  }

  /** Every file of the commit. Names and sizes are the server's: they are checked before anything is done with them. */
  async #list(commit: string, fetch: HubFetch): Promise<Map<string, HubFile>> {
    const { listFiles } = await import('@huggingface/hub')
    const found = new Map<string, HubFile>()
    const { repository: name, type } = this.place
    const entries = { repo: { type, name }, revision: commit, recursive: true, hubUrl: this.#endpoint, fetch }
    await this.#ask(async () => {
      for await (const { type, path, size, oid, lfs } of listFiles(entries)) {
        if (type !== 'file') continue
        if (typeof path !== 'string' || isHostilePath(path))
          throw this.#badAnswer(`the listing has a file with an unsafe name, ${shown(path)}`)
        // Odd names, which some systems cannot have, belong to pictures and notes.
        if (!isSafePath(path)) continue
        const etag: unknown = lfs?.oid ?? oid
        const bytes: unknown = lfs?.size ?? size
        const named = typeof etag === 'string' && (lfs ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/).test(etag)
        if (!named || !Number.isSafeInteger(bytes) || (bytes as number) < 0)
          throw this.#badAnswer(`the listing gives ${path} the hash ${shown(etag)} and the size ${shown(bytes)}`)
        found.set(path, { path, bytes: bytes as number, etag })
        if (found.size > MAX_LISTED_FILES) throw this.#badAnswer(`the listing has more than ${MAX_LISTED_FILES} files`)
      }
    })
    return found
  }

  /** Downloads several files at a time. The first failure stops the others; all have ended when this returns or throws. */
  async #fetchAll(commit: string, files: readonly HubFile[]): Promise<void> {
    const { onProgress, retries = 5 } = this.options
    const failure = new AbortController()
    const outer = this.options.signal
    const signal = outer ? AbortSignal.any([outer, failure.signal]) : failure.signal
    const fetch = await this.connect(retries, signal)
    await mapLimited(files, DOWNLOADS_AT_ONCE, async (file) => {
      const { path, bytes, etag } = file
      try {
        signal.throwIfAborted()
        await downloadBlob(file, {
          id: this.#name,
          url: new URL(`${this.#endpoint}/${webPath(this.place)}/resolve/${commit}/${encodePath(path)}`),
          fetch,
          blob: this.cache.blob(etag),
          lock: this.cache.lock(etag),
          signal,
          retries,
          onProgress: (receivedBytes) => onProgress?.({ file: path, receivedBytes, totalBytes: bytes }),
        })
      } catch (error) {
        if (!failure.signal.aborted) failure.abort(error)
      }
    })
    outer?.throwIfAborted()
    failure.signal.throwIfAborted()
  }

  #snapshot(commit: string, { files, main }: ModelFiles): HubSnapshot {
    const folder = this.cache.snapshot(commit)
    return { path: main === '' ? folder : join(folder, main), folder, commit, files: [...files].sort() }
  }

  /** Runs a call of the hub's library. What it throws by itself is about answers it does not understand. */
  async #ask<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call()
    } catch (error) {
      this.options.signal?.throwIfAborted()
      if (error instanceof HubError) throw error
      throw this.#badAnswer(`${(error as Error).message}`, error)
    }
  }

  #badAnswer(text: string, cause?: unknown): HubError {
    const message = `${this.#endpoint} gave an answer that cannot be used: ${text}. Check HF_ENDPOINT.`
    return new HubError(this.#name, message, { reason: 'answer', url: this.#endpoint }, { cause })
  }
}

function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

/** A value of the server in a message: short, on one line. */
function shown(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 120)
}

async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path)
    if (size > MAX_TEXT_BYTES) throw new CheckpointError(path, `expected a JSON file, found ${size} bytes`)
    return await readFile(path, 'utf8')
  } catch (error) {
    throw toIoError(path, 'read', error)
  }
}
