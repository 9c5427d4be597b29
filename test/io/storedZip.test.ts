import { describe, expect, it } from 'vitest'
import { readStoredZip } from '../../lib/io/storedZip.ts'
import { planStoredZip } from '../../lib/io/storedZipWriter.ts'
import { ArgumentError, CheckpointError } from '../../lib/util/errors.ts'
import { memorySource } from './memorySource.ts'
import { makeZip, type ZipEnd, type ZipPart } from './zipMaker.ts'

const data = (text: string): Buffer => Buffer.from(text)
const good: readonly ZipPart[] = [
  { name: 'a/one', data: data('first') },
  { name: 'a/two', data: data('the second') },
]
const read = (bytes: Uint8Array): ReturnType<typeof readStoredZip> => readStoredZip('made.zip', memorySource(bytes))

async function written(items: Parameters<typeof planStoredZip>[0]): Promise<Buffer> {
  const plan = planStoredZip(items)
  const chunks: Uint8Array[] = []
  for await (const chunk of plan.chunks()) chunks.push(chunk.slice())
  const bytes = Buffer.concat(chunks)
  expect(bytes.byteLength).toBe(plan.byteLength)
  return bytes
}

describe('readStoredZip', () => {
  it('gives the place of each entry', async () => {
    const bytes = makeZip(good)
    const entries = await read(bytes)
    expect([...entries.keys()]).toEqual(['a/one', 'a/two'])
    const { byteOffset, byteLength } = entries.get('a/two')!
    expect(bytes.subarray(byteOffset, byteOffset + byteLength).toString()).toBe('the second')
  })

  it('takes local sizes of zero where a data descriptor follows', async () => {
    const local = { flags: 8, compressed: 0, uncompressed: 0 }
    const entries = await read(makeZip([{ ...good[0]!, local, central: { flags: 8 } }]))
    expect(entries.get('a/one')?.byteLength).toBe(5)
  })

  const [one, two] = good as [ZipPart, ZipPart]
  const cases: [what: string, parts: readonly ZipPart[], end: ZipEnd, message: RegExp][] = [
    ['compressed entries', [{ ...one, central: { method: 8 } }], {}, /"a\/one" is compressed \(deflate\)/],
    ['an unknown method', [{ ...one, central: { method: 93 } }], {}, /compressed \(method 93\)/],
    ['encrypted entries', [{ ...one, central: { flags: 1 } }], {}, /encrypted/],
    ['strong encryption', [{ ...one, central: { flags: 0x41 } }], {}, /encrypt/],
    ['encryption in the local header', [{ ...one, local: { flags: 1 } }], {}, /two states/],
    ['two sizes of a stored entry', [{ ...one, central: { compressed: 4 } }], {}, /claims 4 bytes.*and 5 unpacked/],
    ['a name that occurs twice', [one, { ...two, name: 'a/one' }], {}, /"a\/one" occurs twice/],
    ['a name that leaves the folder', [{ ...one, name: 'a/../../x' }], {}, /relative names.*do not trust/],
    ['an absolute name', [{ ...one, name: '/etc/passwd' }], {}, /relative names/],
    ['a drive', [{ ...one, name: 'C:x' }], {}, /relative names/],
    ['a backslash', [{ ...one, name: 'a\\x' }], {}, /relative names/],
    ['a zero byte in a name', [{ ...one, name: 'a\0x' }], {}, /relative names/],
    ['an empty name', [{ ...one, name: '' }], {}, /relative names/],
    ['a name that is not UTF-8', [{ ...one, name: Buffer.from([0xff, 0xfe]) }], {}, /in UTF-8/],
    ['two names of one entry', [{ ...one, local: { name: 'a/six' } }], {}, /two names: "a\/one".*"a\/six"/],
    ['two methods of one entry', [{ ...one, local: { method: 8 } }], {}, /two methods/],
    ['two sizes of one entry', [{ ...one, local: { uncompressed: 3 } }], {}, /two sizes: 5.*3/],
    ['local sizes of zero without a descriptor', [{ ...one, local: { uncompressed: 0 } }], {}, /two sizes/],
    ['two entries with the same data', [one, { ...one, name: 'a/two', central: { offset: 0 } }], {}, /two names/],
    ['more entries than there are', [one], { count: 2 }, /invalid central directory|end of the file|at most/],
    ['huge counts', [one], { count: 0xfffe }, /at most 1 entries.*65534/],
    ['a directory outside of the file', [one], { directoryOffset: 0xfffffffe }, /end of the file/],
    ['a directory before its data', good, { directoryOffset: 40 }, /invalid central directory/],
    ['a local header outside of the file', [{ ...one, central: { offset: 1 << 30 } }], {}, /end of the file/],
    ['a local header that is none', [{ ...one, central: { offset: 4 } }], {}, /invalid local file header/],
  ]
  it.each(cases)('refuses %s', async (_what, parts, end, message) => {
    const attempt = read(makeZip(parts, end))
    await expect(attempt).rejects.toThrow(CheckpointError)
    await expect(attempt).rejects.toThrow(message)
    await expect(attempt).rejects.toThrow(/^made.zip: /)
  })

  it('refuses entries that overlap', async () => {
    const inner = makeZip([{ name: 'b', data: data('inner') }])
    const localHeader = inner.subarray(0, 30 + 1 + 5)
    const offset = 30 + 1 + 3
    const bytes = makeZip([
      { name: 'a', data: Buffer.concat([data('pad'), localHeader]) },
      { name: 'b', data: data('inner'), central: { offset } },
    ])
    await expect(read(bytes)).rejects.toThrow(/"a" and "b" overlap/)
  })

  it('refuses data that reaches into the directory', async () => {
    const part = { ...one, central: { compressed: 20, uncompressed: 20 }, local: { compressed: 20, uncompressed: 20 } }
    await expect(read(makeZip([part]))).rejects.toThrow(/end before the directory at byte 40, found its end at 55/)
  })

  it('refuses a file cut short at any byte', async () => {
    const bytes = makeZip(good)
    for (let length = 0; length < bytes.byteLength; length++) {
      await expect(read(bytes.subarray(0, length)), `cut at ${length}`).rejects.toThrow(CheckpointError)
    }
  })

  it('refuses more entries than its limit', async () => {
    const attempt = readStoredZip('made.zip', memorySource(makeZip(good)), { maxEntries: 1 })
    await expect(attempt).rejects.toThrow(/at most 1 entries/)
  })
})

describe('planStoredZip', () => {
  it('aligns data to 64 bytes, and is read back', async () => {
    const items = Array.from({ length: 70 }, (_, i) => ({
      name: `folder/${'n'.repeat(i)}`,
      byteLength: i,
      data: new Uint8Array(i).fill(i),
    }))
    const bytes = await written(items)
    const entries = await read(bytes)
    for (const { name, data: expected } of items) {
      const { byteOffset, byteLength } = entries.get(name)!
      expect(byteOffset % 64).toBe(0)
      expect(bytes.subarray(byteOffset, byteOffset + byteLength)).toEqual(Buffer.from(expected))
    }
  })

  it('writes zip64 records for more than 65,534 entries', async () => {
    const none = new Uint8Array(0)
    const bytes = await written(Array.from({ length: 65_536 }, (_, i) => ({ name: `${i}`, byteLength: 0, data: none })))
    expect((await read(bytes)).size).toBe(65_536)
  })

  it('writes zip64 fields for entries and offsets past 4 GiB', async () => {
    const huge = 2 ** 32 + 7
    const plan = planStoredZip([
      { name: 'huge', byteLength: huge, data: { byteLength: huge, subarray: () => new Uint8Array(0) } as never },
      { name: 'after', byteLength: 5, data: data('after') },
    ])
    // The huge entry stays a hole: only what lies around it is kept, by position.
    const kept: { at: number; bytes: Uint8Array }[] = []
    let at = 0
    for await (const chunk of plan.chunks()) {
      if (chunk.byteLength < huge) kept.push({ at, bytes: chunk })
      at += chunk.byteLength
    }
    expect(at).toBe(plan.byteLength)
    const source = {
      size: at,
      close: async () => {},
      read: async (offset: number, length: number): Promise<Uint8Array> => {
        const result = new Uint8Array(length)
        for (const part of kept) {
          const start = Math.max(offset, part.at)
          const end = Math.min(offset + length, part.at + part.bytes.byteLength)
          if (start < end) result.set(part.bytes.subarray(start - part.at, end - part.at), start - offset)
        }
        return result
      },
    }
    const entries = await readStoredZip('huge.zip', source)
    expect(entries.get('huge')?.byteLength).toBe(huge)
    const { byteOffset, byteLength } = entries.get('after')!
    expect(byteOffset).toBeGreaterThan(2 ** 32)
    expect(Buffer.from(await source.read(byteOffset, byteLength)).toString()).toBe('after')
  })

  it('refuses names that repeat and data of another size', async () => {
    const item = { name: 'a', byteLength: 1, data: Uint8Array.of(1) }
    expect(() => planStoredZip([item, item])).toThrow(ArgumentError)
    await expect(written([{ ...item, byteLength: 2 }])).rejects.toThrow(/data of "a" must be 2 bytes, received 1 bytes/)
  })
})
