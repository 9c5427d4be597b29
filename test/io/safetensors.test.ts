import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openSafetensors, type SafetensorsTensor, writeSafetensors } from '../../lib/io/safetensors.ts'
import { bytesOf, float32ToBytes } from '../../lib/io/tensorBytes.ts'
import { ArgumentError, CheckpointError, DisposedError, IoError } from '../../lib/util/errors.ts'

const fixture = fileURLToPath(new URL('../fixtures/safetensorsFile/allDtypes.safetensors', import.meta.url))
let folder: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'noisewright-safetensors-'))
})
afterEach(async () => {
  await fs.rm(folder, { recursive: true, force: true })
})

/** A file of a given header and so many zero bytes of data. */
async function fileWith(header: unknown, dataBytes: number, length?: bigint): Promise<string> {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const prefix = Buffer.alloc(8)
  prefix.writeBigUInt64LE(length ?? BigInt(text.byteLength))
  const path = join(folder, 'made.safetensors')
  await fs.writeFile(path, Buffer.concat([prefix, text, Buffer.alloc(dataBytes)]))
  return path
}

describe('openSafetensors', () => {
  it('reads every dtype of a file made by the Python package', async () => {
    const file = await openSafetensors(fixture)
    const whole = Float32Array.from({ length: 12 }, (_, i) => i - 6)
    for (const dtype of ['int64', 'int32', 'int16', 'int8', 'float64', 'float32']) {
      expect(await file.readFloat32(`as.${dtype}`), dtype).toEqual(whole)
    }
    expect(await file.readFloat32('as.uint8')).toEqual(whole.map((x) => x + 6))
    expect(await file.readFloat32('as.bool')).toEqual(whole.map((x) => (x > 0 ? 1 : 0)))
    const half = await file.readFloat32('as.float16')
    const brain = await file.readFloat32('as.bfloat16')
    for (let i = 0; i < 12; i++) {
      expect(Math.abs(half[i]! - whole[i]! * 0.3)).toBeLessThanOrEqual(2 ** -10)
      expect(Math.abs(brain[i]! - whole[i]! * 0.3)).toBeLessThanOrEqual(2 ** -8)
    }
    expect(file.info('as.bfloat16')).toMatchObject({ dtype: 'BF16', shape: [3, 4], byteLength: 24 })
    expect(file.info('scalar').shape).toEqual([])
    expect(await file.readFloat32('scalar')).toEqual(Float32Array.of(4.5))
    expect((await file.read('empty')).byteLength).toBe(0)
    expect([...file.metadata]).toEqual([['note', 'grün, "quoted"\n\u{1f438}']])
    await file.close()
  })

  it('offers the nearest name for an unknown tensor', async () => {
    const file = await openSafetensors(fixture)
    expect(() => file.info('as.flaot16')).toThrow(/Did you mean "as.float16"/)
    await expect(file.read('nothing like it at all')).rejects.toThrow(CheckpointError)
    await file.close()
  })

  it('refuses a read after close, and closes twice quietly', async () => {
    const file = await openSafetensors(fixture)
    await file.close()
    await file.close()
    await expect(file.read('scalar')).rejects.toThrow(DisposedError)
  })

  it('names the tensor when the file is cut short, at any length', async () => {
    const bytes = await fs.readFile(fixture)
    const path = join(folder, 'short.safetensors')
    await fs.writeFile(path, bytes.subarray(0, bytes.byteLength - 5))
    const lastTensor = /cut short: tensor "as.bool" \(BOOL \[3, 4\]\) expects 12 bytes, found 7/
    await expect(openSafetensors(path)).rejects.toThrow(lastTensor)
    for (let length = 0; length < bytes.byteLength; length += 37) {
      await fs.writeFile(path, bytes.subarray(0, length))
      await expect(openSafetensors(path), `cut at ${length}`).rejects.toThrow(CheckpointError)
    }
  })

  it('refuses bytes after the last tensor', async () => {
    const path = join(folder, 'long.safetensors')
    await fs.writeFile(path, Buffer.concat([await fs.readFile(fixture), Buffer.alloc(3)]))
    await expect(openSafetensors(path)).rejects.toThrow(/found 3 more/)
  })

  it('takes no memory for a header longer than the file', async () => {
    await expect(openSafetensors(await fileWith('{}', 0, 90_000_000n))).rejects.toThrow(/expected a header of 90000000/)
    await expect(openSafetensors(await fileWith('{}', 0, 2n ** 63n))).rejects.toThrow(/not a safetensors file/)
    await expect(openSafetensors(await fileWith('PK\u0003\u0004 a zip', 0))).rejects.toThrow(/not a safetensors file/)
  })

  const f32 = (shape: unknown, offsets: unknown): object => ({ dtype: 'F32', shape, data_offsets: offsets })
  it.each([
    ['text that is not JSON', '{"a": ', 0, /header is not JSON/],
    ['an unknown dtype', { a: { dtype: 'F7', shape: [1], data_offsets: [0, 4] } }, 4, /dtype "F7"; this reader knows/],
    ['a shape that does not fit the bytes', { a: f32([3], [0, 8]) }, 8, /expected 12 bytes for F32.*found "8 bytes"/],
    ['a negative size', { a: f32([-1], [0, 4]) }, 4, /a shape of whole numbers, found \[-1\]/],
    ['a huge shape', { a: f32([2 ** 52, 2 ** 52], [0, 4]) }, 4, /product is below 2\^53/],
    ['a gap', { a: f32([1], [0, 4]), b: f32([1], [8, 12]) }, 12, /"b" leaves a gap after/],
    ['a gap at the start', { a: f32([1], [4, 8]) }, 8, /"a" leaves a gap/],
    ['an overlap', { a: f32([2], [0, 8]), b: f32([1], [4, 8]) }, 8, /"b" overlaps/],
    ['offsets in reverse', { a: f32([1], [4, 0]) }, 4, /expected 4 bytes.*-4 bytes/],
    ['an entry that is no object', { a: 3 }, 0, /expected an object with dtype/],
    ['metadata that is not text', { __metadata__: { n: 1 } }, 0, /metadata "n" must be a text/],
  ])('refuses %s', async (_what, header, dataBytes, message) => {
    const path = await fileWith(header, dataBytes)
    const attempt = openSafetensors(path)
    await expect(attempt).rejects.toThrow(CheckpointError)
    await expect(attempt).rejects.toThrow(message)
    await expect(attempt).rejects.toThrow(path)
  })

  it('refuses a header that is not UTF-8', async () => {
    const path = await fileWith('{"x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}', 0)
    const bytes = await fs.readFile(path)
    bytes[10] = 0xff
    await fs.writeFile(path, bytes)
    await expect(openSafetensors(path)).rejects.toThrow(/header is not JSON/)
  })

  it('reports a missing file and a folder as input/output errors', async () => {
    await expect(openSafetensors(join(folder, 'none'))).rejects.toThrow(/no such file/)
    await expect(openSafetensors(folder)).rejects.toThrow(IoError)
  })
})

describe('writeSafetensors', () => {
  it('writes byte for byte what the Python package writes', async () => {
    const file = await openSafetensors(fixture)
    const tensors: SafetensorsTensor[] = []
    for (const name of [...file.names].reverse()) {
      const { dtype, shape } = file.info(name)
      tensors.push({ name, dtype, shape, data: () => file.read(name) })
    }
    const path = join(folder, 'copy.safetensors')
    const bytes = await writeSafetensors(path, tensors, { metadata: Object.fromEntries(file.metadata) })
    await file.close()
    const written = await fs.readFile(path)
    expect(written.byteLength).toBe(bytes)
    expect(written.equals(await fs.readFile(fixture))).toBe(true)
  })

  it('writes a file without tensors and without metadata', async () => {
    const path = join(folder, 'empty.safetensors')
    await writeSafetensors(path, [])
    const file = await openSafetensors(path)
    expect(file.names).toEqual([])
    expect(file.metadata.size).toBe(0)
    await file.close()
  })

  it('narrows float32 on the way and reads it back', async () => {
    const path = join(folder, 'half.safetensors')
    const values = Float32Array.of(1, -0.5, 1 / 3, 65504)
    const as = (dtype: 'F64' | 'F32' | 'F16' | 'BF16'): SafetensorsTensor => {
      return { name: dtype, dtype, shape: [2, 2], data: float32ToBytes(values, dtype) }
    }
    await writeSafetensors(path, [as('F16'), as('BF16'), as('F32'), as('F64')])
    const file = await openSafetensors(path)
    expect(file.names).toEqual(['F64', 'F32', 'BF16', 'F16'])
    expect(await file.readFloat32('F64')).toEqual(values)
    expect(await file.readFloat32('F32')).toEqual(values)
    expect((await file.readFloat32('F16'))[2]).toBeCloseTo(1 / 3, 3)
    expect((await file.readFloat32('BF16'))[3]).toBe(65536)
    await file.close()
  })

  it('refuses wrong sizes and repeated names, leaving nothing behind', async () => {
    const path = join(folder, 'bad.safetensors')
    const data = bytesOf(Float32Array.of(1, 2))
    const tensor: SafetensorsTensor = { name: 'a', dtype: 'F32', shape: [2], data }
    await expect(writeSafetensors(path, [{ ...tensor, shape: [3] }])).rejects.toThrow(
      /the data of "a" must be 12 bytes/,
    )
    await expect(writeSafetensors(path, [tensor, tensor])).rejects.toThrow(ArgumentError)
    await expect(writeSafetensors(path, [{ ...tensor, name: '__metadata__' }])).rejects.toThrow(ArgumentError)
    expect(await fs.readdir(folder)).toEqual([])
  })
})
