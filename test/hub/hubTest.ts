import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, vi } from 'vitest'
import type { ResolveHubModelOptions } from '../../lib/hub/resolveHubModel.ts'
import { FakeHub } from './fakeHub.ts'

export interface HubTest {
  readonly hub: FakeHub
  /** The cache's folder. */
  readonly cache: string
  /** Options that lead to the hub and the cache, with short pauses. */
  readonly options: ResolveHubModelOptions
  /** The commit of org/name in the cache's layout. */
  repository(...path: string[]): string
  /** Names in `blobs/`, sorted. */
  blobs(): Promise<string[]>
}

/** Gives each test a hub and an empty cache, and no settings of the machine. */
export function hubTests(): HubTest {
  let hub: FakeHub
  let cache: string
  beforeEach(async () => {
    hub = await new FakeHub().start()
    cache = await mkdtemp(join(tmpdir(), 'noisewright-hub-'))
    vi.stubEnv('HF_HOME', cache)
    for (const name of [
      'HF_TOKEN',
      'HUGGING_FACE_HUB_TOKEN',
      'HF_TOKEN_PATH',
      'HF_HUB_OFFLINE',
      'TRANSFORMERS_OFFLINE',
    ])
      vi.stubEnv(name, '')
  })
  afterEach(async () => {
    vi.unstubAllEnvs()
    await hub.stop()
    await rm(cache, { recursive: true })
  })
  return {
    get hub() {
      return hub
    },
    get cache() {
      return cache
    },
    get options() {
      return { cacheFolder: cache, endpoint: hub.endpoint, retryDelayMs: 5 }
    },
    repository: (...path) => join(cache, 'models--org--name', ...path),
    blobs: async () => (await readdir(join(cache, 'models--org--name', 'blobs'))).sort(),
  }
}
