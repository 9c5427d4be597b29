import { readdir, stat } from 'node:fs/promises'
import { basename, join, relative, resolve, sep } from 'node:path'
import { toIoError } from '../io/systemError.ts'
import { ArgumentError, HubError, IoError } from '../util/errors.ts'
import { FileBlob } from './fileBlob.ts'
import { createHubFetch, type HubFetch } from './hubFetch.ts'
import { type HubRepositoryType, isCommit, isRepositoryName, isSafePath, webPath } from './hubId.ts'
import type { HubConnectionOptions } from './hubSnapshot.ts'
import { hubEndpoint, hubOffline, hubToken } from './settings.ts'

/** Which repository of the hub is written to, and how it is reached. */
export interface HubRepositoryOptions extends HubConnectionOptions {
  /** Default `model`. */
  readonly type?: HubRepositoryType | undefined
  /** Who may see the repository if it is made here; one that is there stays as it is. Default `private`. */
  readonly visibility?: 'private' | 'public' | undefined
}

export interface UploadToHubOptions extends HubRepositoryOptions {
  /** Where the file or the folder comes to stand in the repository, with `/`. Default: at its root, under its own name. */
  readonly path?: string | undefined
}

export interface HubUpload {
  /** The commit that holds the upload. */
  readonly commit: string
  /** Paths of the files in the repository, sorted. */
  readonly files: readonly string[]
}

/**
 * Uploads a file, or a folder with all that is in it, to a repository of the hub, as one commit to its branch `main`. A repository that
 * is not there is made. Files are read piece by piece, whatever their size; what the repository holds already is not sent again.
 *
 * @param local a file or a folder; files must not change meanwhile
 * @param repository `org/name`
 * @throws ArgumentError for a name, path, address or token of a wrong form; HubError when there is no token, `HF_HUB_OFFLINE` forbids
 *   it, or the hub refuses or cannot be reached; IoError when something cannot be read; what `signal` was aborted with
 */
export async function uploadToHub(
  local: string,
  repository: string,
  options: UploadToHubOptions = {},
): Promise<HubUpload> {
  const { path = basename(resolve(local)), signal } = options
  if (!isSafePath(path)) throw new ArgumentError('uploadToHub', 'path', 'a relative path with /', JSON.stringify(path))
  const files = await filesOf(local, path)
  const hub = await openRepository(repository, options)
  await makeIfMissing(hub, options)
  const { uploadFiles } = await import('@huggingface/hub')
  const { repo, hubUrl, fetch } = hub
  const upload = {
    ...{ repo, hubUrl, fetch },
    files: await Promise.all(
      files.map(async ({ file, target }) => ({ path: target, content: await FileBlob.open(file) })),
    ),
    commitTitle: `Upload ${path}`,
    // Xet cuts and hashes files on the main thread; the hub takes the older protocol as well.
    useXet: false,
    ...(signal && { abortSignal: signal }),
  }
  const commit = await ask(hub, options, async () => {
    const oid = (await uploadFiles(upload))?.commit.oid
    if (oid === undefined || !isCommit(oid)) throw new TypeError(`expected a commit, received ${oid}`)
    return oid
  })
  return { commit, files: files.map(({ target }) => target) }
}

/**
 * Makes a repository of the hub if it is not there.
 *
 * @param repository `org/name`
 * @returns whether it was made
 * @throws as {@link uploadToHub}
 */
export async function makeHubRepository(repository: string, options: HubRepositoryOptions = {}): Promise<boolean> {
  return makeIfMissing(await openRepository(repository, options), options)
}

/** What the calls of the hub's library are given. */
interface OpenRepository {
  readonly id: string
  readonly repo: { readonly type: HubRepositoryType; readonly name: string }
  readonly hubUrl: string
  readonly fetch: HubFetch
}

async function openRepository(name: string, options: HubRepositoryOptions): Promise<OpenRepository> {
  const { type = 'model', signal, retries = 5, retryDelayMs = 500 } = options
  if (!isRepositoryName(name)) throw new ArgumentError('uploadToHub', 'repository', 'org/name', JSON.stringify(name))
  const id = webPath({ repository: name, type })
  const endpoint = hubEndpoint(options.endpoint)
  if (hubOffline()) throw new HubError(id, 'HF_HUB_OFFLINE forbids uploads: unset it.', { reason: 'offline' })
  const token = await hubToken(options.token)
  if (token === undefined) {
    const advice = `Make one with write access at ${endpoint}/settings/tokens and set HF_TOKEN to it.`
    throw new HubError(id, `an upload needs an access token. ${advice}`, { reason: 'access' })
  }
  const fetch = createHubFetch({ id, endpoint, token, signal, retries, retryDelayMs })
  return { id, repo: { type, name }, hubUrl: endpoint, fetch }
}

async function makeIfMissing(hub: OpenRepository, options: HubRepositoryOptions): Promise<boolean> {
  const { createRepo, repoExists } = await import('@huggingface/hub')
  const { repo, hubUrl, fetch } = hub
  const exists = await unless(404, false, () => ask(hub, options, () => repoExists({ repo, hubUrl, fetch })))
  if (exists) return false
  const { visibility = 'private' } = options
  // The token is added by `fetch`; the library takes no other than those of huggingface.co.
  const repository = { repo, hubUrl, fetch, visibility, accessToken: '' }
  // Somebody else may have made it in between.
  return unless(409, false, async () => {
    await ask(hub, options, () => createRepo(repository))
    return true
  })
}

/** Another value where the hub answers with a certain status. */
async function unless<T>(status: number, value: T, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    if (error instanceof HubError && error.details.status === status) return value
    throw error
  }
}

/**
 * Runs a call of the hub's library. What it throws by itself is about files, or about answers that it does not understand, whose texts
 * are not repeated: they could hold anything.
 */
async function ask<T>(
  { id, hubUrl }: OpenRepository,
  { signal }: HubRepositoryOptions,
  call: () => Promise<T>,
): Promise<T> {
  try {
    return await call()
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof HubError || error instanceof IoError) throw error
    const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : undefined
    const what = status === undefined ? 'gave an answer that cannot be used' : `refused a large file (${status})`
    const details = { reason: 'answer', url: hubUrl, status } as const
    throw new HubError(id, `${hubUrl} ${what}. Check HF_ENDPOINT.`, details, { cause: error })
  }
}

interface LocalFile {
  readonly file: string
  /** In the repository. */
  readonly target: string
}

/** The file, or every file of the folder, by their paths in the repository. */
async function filesOf(local: string, path: string): Promise<readonly LocalFile[]> {
  try {
    if (!(await stat(local)).isDirectory()) return [{ file: local, target: path }]
    const entries = await readdir(local, { recursive: true, withFileTypes: true })
    const files = entries.filter((entry) => !entry.isDirectory())
    const odd = files.find((entry) => !entry.isFile())
    if (odd) throw new IoError(join(odd.parentPath, odd.name), 'expected a file, to be uploaded with its folder')
    if (files.length === 0) throw new IoError(local, 'expected a file or a folder with files, found an empty folder')
    return files
      .map((entry) => join(entry.parentPath, entry.name))
      .map((file) => ({ file, target: `${path}/${relative(local, file).split(sep).join('/')}` }))
      .sort((a, b) => (a.target < b.target ? -1 : 1))
  } catch (error) {
    throw toIoError(local, 'read what is to be uploaded', error)
  }
}
