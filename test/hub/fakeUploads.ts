import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { type FakeFile, type FakeHub, type FakeRepository, json, refuse } from './fakeHub.ts'

export interface FakeCommit {
  readonly repository: string
  readonly summary: string
  readonly paths: readonly string[]
}

/** The part of a {@link FakeHub} that takes uploads: the endpoints that `@huggingface/hub` uses, and the store of large files. */
export class FakeUploads {
  /** What repositories were asked to be made with. */
  readonly created: Readonly<Record<string, unknown>>[] = []
  readonly commits: FakeCommit[] = []
  /** Headers of what the store of large files was sent. */
  readonly puts: IncomingHttpHeaders[] = []
  /** The one token that may write. */
  token = 'hf_secret'
  /** Files of at least so many bytes are large. */
  largeBytes = 10_000
  /** Bytes of each part of a large file. Null: files are sent whole. */
  partBytes: number | null = null
  readonly #hub: FakeHub
  readonly #stored = new Map<string, Buffer>()

  constructor(hub: FakeHub) {
    this.#hub = hub
  }

  /** A file of a repository's branch main. */
  file(repository: string, path: string): FakeFile | undefined {
    const found = this.#hub.repositories.get(repository)
    return found?.commits.get(found.refs.get('main') ?? '')?.get(path)
  }

  /** @returns whether the request is one of an upload */
  serve(request: IncomingMessage, response: ServerResponse, pathname: string): boolean {
    const exists = /^\/api\/(?:models\/)?((?:datasets\/|spaces\/)?[^/]+\/[^/]+)$/.exec(pathname)
    if (request.method === 'GET' && exists === null) return false
    if (request.method === 'PUT') {
      void bodyOf(request).then((body) => this.#put(request, response, pathname, body), gone)
      return true
    }
    if (request.headers.authorization !== `Bearer ${this.token}` && !pathname.startsWith('/complete/')) {
      refuse(response, 401, '')
    } else if (exists !== null && request.method === 'GET') {
      if (this.#hub.repositories.has(exists[1]!)) json(response, { id: exists[1] })
      else refuse(response, 404, 'RepoNotFound')
    } else {
      void bodyOf(request).then((body) => this.#post(response, pathname, body.toString('utf8')), gone)
    }
    return true
  }

  #put(request: IncomingMessage, response: ServerResponse, pathname: string, body: Buffer): void {
    this.puts.push(request.headers)
    this.#stored.set(pathname, body)
    response.setHeader('etag', `"${createHash('md5').update(body).digest('hex')}"`)
    response.end()
  }

  #post(response: ServerResponse, pathname: string, body: string): undefined {
    if (pathname === '/api/repos/create') return this.#create(response, JSON.parse(body) as Record<string, unknown>)
    if (pathname.startsWith('/complete/')) return this.#complete(response, pathname.slice('/complete/'.length), body)
    const match =
      /^\/api\/(?:models\/)?(.+)\/(preupload|commit)\/main$/.exec(pathname) ??
      /^\/(.+)\.git\/info\/lfs\/objects\/(batch)$/.exec(pathname)
    const repository = this.#hub.repositories.get(match?.[1] ?? '')
    if (!match || !repository) return refuse(response, 404, 'RepoNotFound')
    if (match[2] === 'commit') return this.#commit(response, match[1]!, repository, body)
    if (match[2] === 'batch') return this.#batch(response, body)
    const { files } = JSON.parse(body) as { files: { path: string; size: number }[] }
    const modes = files.map(({ path, size }) => ({ path, uploadMode: size >= this.largeBytes ? 'lfs' : 'regular' }))
    return json(response, { files: modes })
  }

  #create(response: ServerResponse, wanted: Readonly<Record<string, unknown>>): undefined {
    this.created.push(wanted)
    const { organization, name, type } = wanted
    const id = `${type === 'model' ? '' : `${type}s/`}${organization}/${name}`
    if (this.#hub.repositories.has(id)) return refuse(response, 409, '')
    this.#hub.repositories.set(id, { refs: new Map(), commits: new Map() })
    return json(response, { url: `${this.#hub.endpoint}/${id}`, id })
  }

  #batch(response: ServerResponse, body: string): undefined {
    const { objects } = JSON.parse(body) as { objects: { oid: string; size: number }[] }
    const answered = objects.map(({ oid, size }) => {
      if (this.#stored.has(`/store/${oid}`)) return { oid, size }
      const parts = this.partBytes === null ? 0 : Math.ceil(size / this.partBytes)
      const numbers = Array.from({ length: parts }, (_, part) => String(part + 1).padStart(5, '0'))
      const header = Object.fromEntries(
        numbers.map((part) => [part, `${this.#hub.cdn}/parts/${oid}/${part}?sign=secret`]),
      )
      const whole = { href: `${this.#hub.cdn}/store/${oid}?sign=secret` }
      const divided = {
        href: `${this.#hub.cdn}/complete/${oid}?sign=secret`,
        header: { ...header, chunk_size: String(this.partBytes) },
      }
      return { oid, size, actions: { upload: parts === 0 ? whole : divided } }
    })
    json(response, { transfer: 'basic', objects: answered })
  }

  #complete(response: ServerResponse, oid: string, body: string): undefined {
    const { parts } = JSON.parse(body) as { parts: { partNumber: number; etag: string }[] }
    const pieces = parts.map(({ partNumber }) => {
      return this.#stored.get(`/parts/${oid}/${String(partNumber).padStart(5, '0')}`) ?? Buffer.alloc(0)
    })
    this.#stored.set(`/store/${oid}`, Buffer.concat(pieces))
    json(response, {})
  }

  /** Refuses large files that are not what they are said to be. */
  #commit(response: ServerResponse, id: string, repository: FakeRepository, body: string): undefined {
    const [head, ...operations] = body.split('\n').map((line) => JSON.parse(line) as Operation)
    const files = new Map(repository.commits.get(repository.refs.get('main') ?? ''))
    for (const { key, value } of operations) {
      if (key === 'file') {
        files.set(value.path, { content: Buffer.from(value.content, 'base64'), lfs: false })
        continue
      }
      const content = this.#stored.get(`/store/${value.oid}`) ?? Buffer.alloc(0)
      const hash = createHash('sha256').update(content).digest('hex')
      if (hash !== value.oid || content.length !== value.size) return refuse(response, 422, '')
      files.set(value.path, { content, lfs: true })
    }
    const commit = createHash('sha1').update(`${repository.commits.size}${body}`).digest('hex')
    repository.commits.set(commit, files)
    repository.refs.set('main', commit)
    const paths = operations.map(({ value }) => value.path)
    this.commits.push({ repository: id, summary: head!.value.summary, paths })
    return json(response, { commitOid: commit, commitUrl: `${this.#hub.endpoint}/${id}/commit/${commit}` })
  }
}

interface Operation {
  readonly key: 'header' | 'file' | 'lfsFile'
  readonly value: {
    readonly summary: string
    readonly path: string
    readonly content: string
    readonly oid: string
    readonly size: number
  }
}

/** A sender that left in the middle gets no answer. */
const gone = (): void => {}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of request) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}
