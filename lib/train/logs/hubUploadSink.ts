import { basename } from 'node:path'
import { isRepositoryName, isSafePath } from '../../hub/hubId.ts'
import { type HubRepositoryOptions, makeHubRepository, uploadToHub } from '../../hub/uploadToHub.ts'
import { ConfigError, HubError } from '../../util/errors.ts'
import type { TrainEvent } from '../events.ts'
import type { LogContext, LogSink } from './logSink.ts'

export interface HubUploadSinkOptions extends HubRepositoryOptions {
  /** `org/name`. */
  readonly repository: string
  /** Folder of the repository, with `/`. Default: its root. */
  readonly folder?: string | null | undefined
  /** Saved states are uploaded too. Default false. */
  readonly states?: boolean | undefined
  /** The training goes on meanwhile; its end waits for what is left. Default false: each upload is waited for. */
  readonly background?: boolean | undefined
  /** Uploads that wait at most; when another one comes, the oldest is left out. Default 16. */
  readonly queueLimit?: number | undefined
}

/**
 * Uploads what a training saves to a repository of the hub, one save after the other, under the names of the files. A repository that is
 * not there is made when the training begins; that the hub refuses the token or the repository ends the training then, when nothing is
 * lost yet. Afterwards nothing does: each upload that fails is one warning, and the file stays where it was saved.
 *
 * @throws ConfigError when `repository` or `folder` have another form
 */
export function hubUploadSink(options: HubUploadSinkOptions): LogSink {
  const { repository, folder } = options
  const fail = (option: string, expected: string, found: string): never => {
    throw new ConfigError(`--${option} must be ${expected}, found ${JSON.stringify(found)}`, { option })
  }
  if (!isRepositoryName(repository)) fail('huggingface_repo_id', 'owner/name', repository)
  const inside = folder?.replace(/^\/+|\/+$/g, '') ?? ''
  if (inside !== '' && !isSafePath(inside)) fail('huggingface_path_in_repo', 'a folder of the repository', folder!)
  return new HubUploads({ ...options, folder: inside })
}

class HubUploads implements LogSink {
  readonly name = 'hub'
  readonly #options: HubUploadSinkOptions
  /** Paths that are to be uploaded, in this order. */
  readonly #queue = new Set<string>()
  #context: LogContext | undefined
  #uploading: Promise<void> | undefined

  constructor(options: HubUploadSinkOptions) {
    this.#options = options
  }

  async start(context: LogContext): Promise<void> {
    this.#context = context
    const { repository } = this.#options
    try {
      await makeHubRepository(repository, this.#options)
    } catch (error) {
      const passing = error instanceof HubError && ['network', 'rateLimited', 'server'].includes(error.details.reason)
      if (!passing) throw error
      context.warn(`${error.message} Each save tries again to upload`)
    }
  }

  async event(event: TrainEvent): Promise<void> {
    const { states = false, background = false } = this.#options
    if (event.type === 'save' || (event.type === 'state' && states)) this.#add(event.path)
    if (event.type === 'remove' && this.#queue.delete(event.path))
      this.#missed(event.path, 'it was removed before its turn came')
    if (!background || event.type === 'end') await this.#uploading
  }

  async close(): Promise<void> {
    await this.#uploading
  }

  /** One that waits already is uploaded once, as it is then. */
  #add(path: string): void {
    const { queueLimit = 16 } = this.#options
    const [oldest] = this.#queue
    if (oldest !== undefined && this.#queue.size >= queueLimit && !this.#queue.has(path)) {
      this.#queue.delete(oldest)
      this.#missed(oldest, `${queueLimit} others were waiting`)
    }
    this.#queue.add(path)
    this.#uploading ??= this.#uploadAll()
  }

  async #uploadAll(): Promise<void> {
    for (let [path] = this.#queue; path !== undefined; [path] = this.#queue) {
      this.#queue.delete(path)
      await this.#upload(path)
    }
    this.#uploading = undefined
  }

  async #upload(path: string): Promise<void> {
    const { repository, folder } = this.#options
    const name = basename(path)
    try {
      await uploadToHub(path, repository, { ...this.#options, path: folder ? `${folder}/${name}` : name })
    } catch (error) {
      this.#missed(path, error instanceof Error ? error.message : String(error))
    }
  }

  #missed(path: string, why: string): void {
    this.#context?.warn(`${path} was saved, but not uploaded: ${why}`)
  }
}
