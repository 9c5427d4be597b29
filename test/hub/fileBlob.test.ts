import { appendFile, mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FileBlob } from '../../lib/hub/fileBlob.ts'
import { createHubFetch } from '../../lib/hub/hubFetch.ts'
import { IoError } from '../../lib/util/errors.ts'
import { bytes } from './fakeHub.ts'

const content = bytes(1_000_000, 3)
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noisewright-blob-'))
  await writeFile(join(folder, 'a'), content)
})
afterAll(() => rm(folder, { recursive: true }))

async function streamed(blob: Blob): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of blob.stream()) pieces.push(piece)
  return Buffer.concat(pieces)
}

describe('a file as a blob', () => {
  it.each([
    [undefined, undefined],
    [0, 512],
    [300_000, 900_001],
    [999_999, 5_000_000],
    [7, 7],
    [2_000_000, undefined],
  ])('has the bytes of a blob in memory: %j to %j', async (start, end) => {
    const blob = (await FileBlob.open(join(folder, 'a'))).slice(start, end)
    const expected = new Blob([content]).slice(start, end)
    expect(blob.size).toBe(expected.size)
    const wanted = Buffer.from(await expected.arrayBuffer())
    expect((await streamed(blob)).equals(wanted)).toBe(true)
    expect(Buffer.from(await blob.arrayBuffer()).equals(wanted)).toBe(true)
    const inner = Buffer.from(await blob.slice(1, 100).arrayBuffer())
    expect(inner.equals(wanted.subarray(1, 100))).toBe(true)
  })

  it('is a text', async () => {
    await writeFile(join(folder, 'text'), 'größer')
    expect(await (await FileBlob.open(join(folder, 'text'))).text()).toBe('größer')
  })

  it('has its size beyond 4 GiB, and its last bytes', async () => {
    const file = await open(join(folder, 'large'), 'w')
    const bytes = 2 ** 32 + 10
    await file.truncate(bytes)
    await file.write(Buffer.from('the end'), 0, 7, bytes - 7)
    await file.close()
    const blob = await FileBlob.open(join(folder, 'large'))
    expect(blob.size).toBe(bytes)
    expect(await blob.slice(bytes - 7).text()).toBe('the end')
  })

  it('reads no further ahead than it is asked', async () => {
    const reader = (await FileBlob.open(join(folder, 'a'))).stream().getReader()
    const { value } = await reader.read()
    expect(value!.length).toBeLessThan(content.length / 2)
    await appendFile(join(folder, 'a'), 'x')
    // A piece read ahead would have come without complaint.
    await expect(reader.read()).rejects.toThrow(/a: the file was changed while it was read/)
    await writeFile(join(folder, 'a'), content)
  })

  it('is sent with its length, and is never in memory as a whole', async () => {
    const size = 1 << 28
    const file = await open(join(folder, 'sent'), 'w')
    await file.truncate(size)
    await file.close()
    let most = 0
    let received = 0
    let pieces = 0
    const before = process.memoryUsage().arrayBuffers
    const server = createServer(async (request, response) => {
      expect(request.headers['content-length']).toBe(String(size))
      for await (const piece of request) {
        received += (piece as Buffer).length
        if (pieces++ % 64 === 0) most = Math.max(most, process.memoryUsage().arrayBuffers - before)
      }
      response.end()
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const connection = { id: 'org/name', endpoint, token: undefined, signal: undefined, retries: 0, retryDelayMs: 1 }
    await createHubFetch(connection)(endpoint, { method: 'PUT', body: await FileBlob.open(join(folder, 'sent')) })
    server.close()
    server.closeAllConnections()
    expect(received).toBe(size)
    expect(most).toBeLessThan(size / 2)
  })

  it('is refused when it is not there, or not there any more', async () => {
    await expect(FileBlob.open(join(folder, 'none'))).rejects.toThrow(/none: cannot read: no such file/)
    await writeFile(join(folder, 'b'), 'b')
    const blob = await FileBlob.open(join(folder, 'b'))
    await rm(join(folder, 'b'))
    await expect(blob.text()).rejects.toBeInstanceOf(IoError)
    await expect(streamed(blob)).rejects.toBeInstanceOf(IoError)
  })
})
