import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { FakeUploads } from './fakeUploads.ts'

export interface FakeFile {
  readonly content: Buffer
  /** Large files are served by the CDN and named by their SHA-256. */
  readonly lfs: boolean
}

export interface SeenRequest {
  readonly host: 'hub' | 'cdn'
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly range: string | undefined
  readonly authorization: string | undefined
  /** Bytes of content sent, up to a cut. */
  bytes: number
}

export interface FakeRepository {
  /** Commit of each branch or tag. */
  readonly refs: Map<string, string>
  /** Files of each commit. */
  readonly commits: Map<string, Map<string, FakeFile>>
}

/** What a test makes the server do to a request: true when it has answered. */
export type Interference = (request: SeenRequest, response: ServerResponse) => boolean

/**
 * A model hub on loopback with the endpoints that a download uses, and a CDN on another port that large files are redirected to. It records
 * every request.
 */
export class FakeHub {
  readonly requests: SeenRequest[] = []
  readonly uploads = new FakeUploads(this)
  /** By their names; those of data sets and spaces begin with `datasets/` and `spaces/`. */
  readonly repositories = new Map<string, FakeRepository>()
  /** Asked before each request. */
  interfere: Interference = () => false
  /** Ends the connection after so many bytes of the next answers with content, one number for each. */
  readonly cuts: number[] = []
  /** Content sent instead of a file's own, by path. */
  readonly forged = new Map<string, Buffer>()
  /** Milliseconds between pieces of 64 KiB: makes a transfer last. */
  pieceDelayMs = 0
  /** Files on a page of a listing. */
  pageSize = 5
  /** Listing entries sent besides the files. */
  readonly extraEntries: unknown[] = []
  #hub!: Server
  #cdn!: Server

  async start(): Promise<this> {
    this.#hub = createServer((request, response) => this.#serve('hub', request, response))
    this.#cdn = createServer((request, response) => this.#serve('cdn', request, response))
    for (const server of [this.#hub, this.#cdn])
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()))
    return this
  }

  async stop(): Promise<void> {
    for (const server of [this.#hub, this.#cdn]) {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    }
  }

  get endpoint(): string {
    return address(this.#hub)
  }

  get cdn(): string {
    return address(this.#cdn)
  }

  /** Adds a commit to a branch. Files with a text are small, files with bytes are large. */
  commit(repository: string, files: Readonly<Record<string, string | Buffer>>, branch = 'main'): string {
    const found = this.repositories.get(repository) ?? { refs: new Map(), commits: new Map() }
    this.repositories.set(repository, found)
    const entries = Object.entries(files).map(([path, content]): [string, FakeFile] => [
      path,
      { content: Buffer.from(content), lfs: typeof content !== 'string' },
    ])
    const name = createHash('sha1')
      .update(`${branch}${found.commits.size}${Object.keys(files).join()}`)
      .digest('hex')
    found.commits.set(name, new Map(entries))
    found.refs.set(branch, name)
    return name
  }

  /** Files whose content was asked for, from the repository's root, sorted, each once. */
  contents(): string[] {
    const paths = this.requests
      .map(({ path }) => /\/resolve\/[^/]+\/([^?]*)/.exec(path)?.[1])
      .filter((path) => path !== undefined)
    return [...new Set(paths)].sort()
  }

  #serve(host: 'hub' | 'cdn', request: IncomingMessage, response: ServerResponse): undefined {
    const { range, authorization } = request.headers
    const seen: SeenRequest = {
      host,
      method: request.method!,
      path: request.url!,
      range,
      authorization,
      bytes: 0,
    }
    this.requests.push(seen)
    if (this.interfere(seen, response)) return
    const { pathname, searchParams } = new URL(seen.path, this.endpoint)
    if (this.uploads.serve(request, response, pathname)) return
    const match =
      /^\/api\/(?:models\/)?((?:datasets\/|spaces\/)?[^/]+\/[^/]+)\/(revision|tree)\/([^/]+)$/.exec(pathname) ??
      /^\/((?:datasets\/|spaces\/)?[^/]+\/[^/]+)\/(resolve)\/([^/]+)\/(.+)$/.exec(pathname)
    const repository = this.repositories.get(match?.[1] ?? '')
    if (!match || !repository) return refuse(response, 404, 'RepoNotFound')
    const revision = decodeURIComponent(match[3]!)
    const commit = repository.refs.get(revision) ?? revision
    const files = repository.commits.get(commit)
    if (!files) return refuse(response, 404, 'RevisionNotFound')
    if (match[2] === 'revision') return json(response, { id: match[1], sha: commit, private: false, gated: false })
    if (match[2] === 'tree') return this.#tree(response, pathname, files, Number(searchParams.get('cursor') ?? 0))
    const path = decodeURIComponent(match[4]!)
    const file = files.get(path)
    if (!file) return refuse(response, 404, 'EntryNotFound')
    const headers = { 'x-repo-commit': commit, etag: `"${etagOf(file)}"` }
    if (!file.lfs || host === 'cdn')
      return this.#content(seen, response, this.forged.get(path) ?? file.content, headers)
    response.writeHead(302, {
      ...headers,
      'x-linked-etag': headers.etag,
      'x-linked-size': file.content.length,
      location: `${this.cdn}${pathname}?signature=secret`,
    })
    response.end()
  }

  #tree(response: ServerResponse, pathname: string, files: ReadonlyMap<string, FakeFile>, start: number): undefined {
    const all: unknown[] = [...files].map(([path, file]) => ({
      type: 'file',
      path,
      size: file.content.length,
      oid: gitHash(file.content),
      ...(file.lfs ? { lfs: { oid: etagOf(file), size: file.content.length, pointerSize: 130 } } : {}),
    }))
    all.unshift({ type: 'directory', path: 'unet', size: 0, oid: gitHash(Buffer.from('tree')) })
    all.push(...this.extraEntries)
    const end = start + this.pageSize
    if (end < all.length)
      response.setHeader('link', `<${this.endpoint}${pathname}?recursive=true&expand=false&cursor=${end}>; rel="next"`)
    json(response, all.slice(start, end))
  }

  #content(seen: SeenRequest, response: ServerResponse, content: Buffer, headers: Record<string, string>): undefined {
    const from = /^bytes=(\d+)-/.exec(seen.range ?? '')?.[1]
    const start = Number(from ?? 0)
    if (from !== undefined && start >= content.length) return refuse(response, 416, '')
    const body = content.subarray(start)
    const contentRange = `bytes ${start}-${content.length - 1}/${content.length}`
    response.writeHead(from === undefined ? 200 : 206, {
      ...headers,
      'content-length': body.length,
      ...(from === undefined ? {} : { 'content-range': contentRange }),
    })
    void this.#send(seen, response, body, this.cuts.shift() ?? Number.POSITIVE_INFINITY)
  }

  async #send(seen: SeenRequest, response: ServerResponse, body: Buffer, cut: number): Promise<void> {
    const end = Math.min(body.length, cut)
    for (let at = 0; at < end && !response.destroyed; at += 65536) {
      const piece = body.subarray(at, Math.min(at + 65536, end))
      seen.bytes += piece.length
      await new Promise((done) => response.write(piece, done))
      if (this.pieceDelayMs > 0) await new Promise((done) => setTimeout(done, this.pieceDelayMs))
    }
    if (cut >= body.length) response.end()
    else setTimeout(() => response.destroy(), 20)
  }
}

function address(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** The name of the file's blob in a cache. */
export function etagOf({ content, lfs }: FakeFile): string {
  return lfs ? createHash('sha256').update(content).digest('hex') : gitHash(content)
}

function gitHash(content: Buffer): string {
  return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex')
}

export function refuse(
  response: ServerResponse,
  status: number,
  code: string,
  headers: Record<string, string> = {},
): undefined {
  response.writeHead(status, { ...headers, ...(code === '' ? {} : { 'x-error-code': code }) })
  response.end()
}

export function json(response: ServerResponse, value: unknown): undefined {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(value))
}

/** Bytes that repeat only after a long while, so that a piece at a wrong place shows. */
export function bytes(length: number, seed = 1): Buffer {
  const content = Buffer.alloc(length)
  let state = seed
  for (let at = 0; at + 4 <= length; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    content.writeUInt32LE(state, at)
  }
  return content
}

/** A repository in the diffusers layout with everything that such repositories hold besides. */
export function diffusersRepository(): Record<string, string | Buffer> {
  return {
    'README.md': '# a model',
    'model_index.json': '{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}',
    'v1-5-pruned.safetensors': bytes(3000, 2),
    'v1-5-pruned.ckpt': bytes(3000, 3),
    'feature_extractor/preprocessor_config.json': '{}',
    'safety_checker/config.json': '{}',
    'safety_checker/model.safetensors': bytes(2000, 4),
    'scheduler/scheduler_config.json': '{"_class_name": "PNDMScheduler"}',
    'text_encoder/config.json': '{"hidden_size": 768}',
    'text_encoder/model.safetensors': bytes(200_000, 5),
    'text_encoder/model.fp16.safetensors': bytes(100_000, 6),
    'text_encoder/pytorch_model.bin': bytes(2000, 7),
    'text_encoder/flax_model.msgpack': bytes(2000, 8),
    'text_encoder/model.onnx': bytes(2000, 9),
    'tokenizer/merges.txt': '#version: 0.2',
    'tokenizer/special_tokens_map.json': '{"pad_token": "!"}',
    'tokenizer/tokenizer_config.json': '{"model_max_length": 77}',
    'tokenizer/vocab.json': '{}',
    'unet/config.json': '{"sample_size": 64}',
    'unet/diffusion_pytorch_model.safetensors': bytes(3_000_000, 10),
    'unet/diffusion_pytorch_model.fp16.safetensors': bytes(1_500_000, 11),
    'unet/diffusion_pytorch_model.non_ema.safetensors': bytes(2000, 12),
    'unet/diffusion_pytorch_model.bin': bytes(2000, 13),
    'unet/openvino_model.bin': bytes(2000, 14),
    'vae/config.json': '{"latent_channels": 4}',
    'vae/diffusion_pytorch_model.bin': bytes(300_000, 15),
  }
}

/** What a loader needs of {@link diffusersRepository}. */
export const neededFiles = [
  'model_index.json',
  'scheduler/scheduler_config.json',
  'text_encoder/config.json',
  'text_encoder/model.safetensors',
  'tokenizer/merges.txt',
  'tokenizer/special_tokens_map.json',
  'tokenizer/tokenizer_config.json',
  'tokenizer/vocab.json',
  'unet/config.json',
  'unet/diffusion_pytorch_model.safetensors',
  'vae/config.json',
  'vae/diffusion_pytorch_model.bin',
]
