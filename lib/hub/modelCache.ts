import { randomBytes } from 'node:crypto'
import * as nodeFileSystem from 'node:fs/promises'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { atomicWrite } from '../io/atomicWrite.ts'
import { makeFolder } from '../io/makeFolder.ts'
import { systemErrorCode, toIoError } from '../io/systemError.ts'
import { IoError } from '../util/errors.ts'
import { type HubPlace, isCommit } from './hubId.ts'

/** The file operations that placing a file in a snapshot uses. `node:fs/promises` fits; a test passes one that refuses links. */
export interface LinkingFileSystem {
  symlink(target: string, path: string): Promise<void>
  link(existing: string, path: string): Promise<void>
  copyFile(from: string, to: string): Promise<void>
}

/**
 * One repository's part of the cache, laid out as huggingface_hub does, so that both use the same files:
 * `blobs/<hash>` hold contents, `snapshots/<commit>/<path>` link to them, `refs/<revision>` hold a commit.
 */
export class ModelCache {
  readonly #folder: string
  readonly #locks: string

  constructor(cacheFolder: string, { repository, type }: Omit<HubPlace, 'revision'>) {
    const name = `${type}s--${repository.replace('/', '--')}`
    this.#folder = resolve(cacheFolder, name)
    this.#locks = resolve(cacheFolder, '.locks', name)
  }

  blob(etag: string): string {
    return join(this.#folder, 'blobs', etag)
  }

  lock(etag: string): string {
    return join(this.#locks, `${etag}.noisewright.lock`)
  }

  snapshot(commit: string): string {
    return join(this.#folder, 'snapshots', commit)
  }

  /** @throws IoError when the folders cannot be made */
  async makeFolders(): Promise<void> {
    for (const folder of [join(this.#folder, 'blobs'), this.#locks]) await makeFolder(folder)
  }

  /**
   * Checks that the disk has room for what will be downloaded; partial downloads count as done.
   * @throws IoError when it has not
   */
  async expectRoom(files: readonly { readonly etag: string; readonly bytes: number }[]): Promise<void> {
    let needed = 0
    for (const { etag, bytes } of new Map(files.map((file) => [file.etag, file])).values()) {
      const whole = await sizeOf(this.blob(etag))
      const part = (await sizeOf(`${this.blob(etag)}.incomplete`)) ?? 0
      if (whole !== bytes) needed += Math.max(0, bytes - part)
    }
    const folder = join(this.#folder, 'blobs')
    const disk = await nodeFileSystem.statfs(folder)
    const free = disk.bavail * disk.bsize
    if (needed > free)
      throw new IoError(
        folder,
        `${needed} bytes have to be downloaded, but the disk has ${free} free; free some space, or set HF_HUB_CACHE to a folder elsewhere`,
      )
  }

  /** The commit that a revision had when it was last asked for; a commit is its own. Undefined when it is not known. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision
    const text = await nodeFileSystem.readFile(this.#ref(revision), 'utf8').catch(() => '')
    return isCommit(text.trim()) ? text.trim() : undefined
  }

  /** @throws IoError */
  async remember(revision: string, commit: string): Promise<void> {
    if (isCommit(revision) || (await this.commitOf(revision)) === commit) return
    const path = this.#ref(revision)
    await makeFolder(dirname(path))
    await atomicWrite(path, commit)
  }

  /**
   * Every path that the hub lists for a commit, as {@link rememberListing} kept it, or as huggingface_hub did; undefined where neither
   * did. A snapshot alone does not tell: it may hold a part of the repository.
   */
  async listingOf(commit: string): Promise<Set<string> | undefined> {
    for (const path of [this.#listing(commit), join(this.#folder, 'trees', `${commit}.json`)]) {
      const text = await nodeFileSystem.readFile(path, 'utf8').catch(() => '')
      const { files } = parseObject(text)
      if (typeof files === 'object' && files !== null) return new Set(Object.keys(files))
    }
    return undefined
  }

  /**
   * Keeps the list of a commit's files. In a folder of its own: huggingface_hub takes a list in its `trees` folder to mean that all of
   * them are wanted.
   * @throws IoError
   */
  async rememberListing(commit: string, sizes: ReadonlyMap<string, number>): Promise<void> {
    const path = this.#listing(commit)
    await makeFolder(dirname(path))
    await atomicWrite(path, JSON.stringify({ files: Object.fromEntries(sizes) }))
  }

  /** Paths of the files a snapshot has, with `/`. Links to nothing are left out; a snapshot that is not there has none. */
  async filesOf(commit: string): Promise<Set<string>> {
    const root = this.snapshot(commit)
    const found = new Set<string>()
    const walk = async (folder: string): Promise<void> => {
      const entries = await nodeFileSystem.readdir(folder, { withFileTypes: true }).catch(() => [])
      for (const entry of entries) {
        const path = join(folder, entry.name)
        if (entry.isDirectory()) await walk(path)
        else if ((await nodeFileSystem.stat(path).catch(() => undefined))?.isFile())
          found.add(relative(root, path).split(sep).join('/'))
      }
    }
    await walk(root)
    return found
  }

  /**
   * Puts a downloaded file into a snapshot: a relative symbolic link; where those are refused (Windows without developer mode), a hard
   * link; where those are refused too, a copy.
   * @throws IoError
   */
  async place(
    commit: string,
    path: string,
    etag: string,
    fileSystem: LinkingFileSystem = nodeFileSystem,
  ): Promise<void> {
    const target = join(this.snapshot(commit), path)
    const blob = this.blob(etag)
    const temporary = `${target}.${randomBytes(6).toString('hex')}.tmp`
    try {
      await makeFolder(dirname(target))
      await fileSystem
        .symlink(relative(dirname(target), blob), temporary)
        .catch(() => fileSystem.link(blob, temporary))
        .catch(() => fileSystem.copyFile(blob, temporary))
      await nodeFileSystem.rename(temporary, target)
    } catch (error) {
      throw toIoError(target, 'put a file into the cache', error)
    } finally {
      await nodeFileSystem.rm(temporary, { force: true }).catch(() => {})
    }
  }

  #listing(commit: string): string {
    return join(this.#folder, 'noisewright', `${commit}.json`)
  }

  #ref(revision: string): string {
    return join(this.#folder, 'refs', ...revision.split('/'))
  }
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    return (JSON.parse(text) ?? {}) as Readonly<Record<string, unknown>>
  } catch {
    return {}
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await nodeFileSystem.stat(path)).size
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw toIoError(path, 'read', error)
  }
}
