import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { buildNpyHeader } from '../../lib/io/npyHeader.ts'
import { type NpzArray, openNpz, readNpz, writeNpz } from '../../lib/io/npz.ts'
import { openSafetensors } from '../../lib/io/safetensors.ts'
import { ArgumentError, CheckpointError, DisposedError } from '../../lib/util/errors.ts'
import { makeZip } from './zipMaker.ts'

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/torch_files/${name}`, import.meta.url))
let folder: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'noisewright-npz-'))
})
afterEach(async () => {
  await fs.rm(folder, { recursive: true, force: true })
})

describe('openNpz', () => {
  it('reads every type of np.savez, and Fortran order as row-major', async () => {
    const arrays = await readNpz(fixture('arrays.npz'))
    const expected = await openSafetensors(fixture('arrays.safetensors'))
    expect([...arrays.keys()].sort()).toEqual([...expected.names].sort())
    for (const [name, { dtype, shape, bytes }] of arrays) {
      expect({ dtype, shape }, name).toEqual({ dtype: expected.info(name).dtype, shape: expected.info(name).shape })
      expect(Buffer.from(bytes).equals(await expected.read(name)), name).toBe(true)
    }
    await expected.close()
  })

  it('gives the place of row-major arrays only', async () => {
    const file = await openNpz(fixture('arrays.npz'))
    const { byteOffset } = file.info('f4').place!
    const bytes = (await fs.readFile(fixture('arrays.npz'))).subarray(byteOffset, byteOffset + 48)
    expect(bytes.equals(await file.read('f4'))).toBe(true)
    expect(file.info('fortran').place).toBeUndefined()
    expect(() => file.info('f5')).toThrow(/Did you mean "f4"|Did you mean "f2"/)
    await file.close()
    await expect(file.read('f4')).rejects.toThrow(DisposedError)
  })

  it.each([
    ['compressed.npz', /"a.npy" is compressed \(deflate\).*np.savez/],
    ['objects.npz', /array "a": this is an array of Python objects/],
    ['dtypes.pt', /expected only .npy arrays in the archive, found "dtypes\/data.pkl"/],
    ['dtypes.safetensors', /expected a NumPy .npz archive, found a safetensors file/],
  ])('refuses %s', async (name, message) => {
    await expect(openNpz(fixture(name))).rejects.toThrow(CheckpointError)
    await expect(openNpz(fixture(name))).rejects.toThrow(message)
  })

  const header = (text: string): Buffer => {
    const bytes = Buffer.from(`\x93NUMPY\x01\x00\x00\x00${text}`, 'latin1')
    bytes.writeUInt16LE(text.length, 8)
    return bytes
  }
  const fields = (descr: string, shape = '(2,)', order = 'False'): Buffer =>
    header(`{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}, }\n`)
  it.each([
    ['another magic word', Buffer.from('NUMPY array'.repeat(9)), /expected a NumPy array/],
    ['an empty entry', Buffer.alloc(0), /expected a NumPy array/],
    ['version 9', Buffer.from('\x93NUMPY\x09\x00\x10\x00        ', 'latin1'), /version 1, 2 or 3.*found 9/],
    [
      'a header past the end',
      Buffer.from('\x93NUMPY\x02\x00\xff\xff\xff\x7f{}', 'latin1'),
      /header of 2147483659 bytes/,
    ],
    ['big-endian data', fields("'>f4'"), /little-endian.*astype\('<f4'\)/],
    ['complex numbers', fields("'<c8'"), /the dtype "<c8"; this reader knows f2, f4/],
    ['texts', fields("'<U3'"), /the dtype "<U3"/],
    ['dates', fields("'<M8[ns]'"), /the dtype "<M8\[ns\]"/],
    ['named fields', fields("[('a', '<f4')]"), /one with named fields/],
    ['less data than the shape', fields("'<f4'", '(3,)'), /expected 12 bytes.*found 8/],
    ['more data than the shape', fields("'<f4'", '()'), /expected 4 bytes.*found 8/],
    ['an overflowing shape', fields("'<f4'", '(9007199254740991, 9007199254740991)'), /found 8/],
    ['a shape beyond doubles', fields("'<f4'", '(9999999999999999,)'), /sizes below 2\^53/],
    ['a negative size', fields("'<f4'", '(-2,)'), /expected a header with descr/],
    ['an expression', fields("'<f4'", '(__import__("os"),)'), /expected a header with descr/],
    ['a missing field', header("{'descr': '<f4', 'shape': (2,), }"), /fortran_order True or False/],
    ['a field twice', header("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}"), /descr twice/],
    [
      'a text after the header',
      header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} + 1"),
      /expected a header/,
    ],
    ['no dictionary', header('hello'), /expected a header with descr/],
  ])('refuses %s', async (_what, start, message) => {
    const path = join(folder, 'made.npz')
    await fs.writeFile(path, makeZip([{ name: 'a.npy', data: Buffer.concat([start, Buffer.alloc(8)]) }]))
    await expect(openNpz(path)).rejects.toThrow(CheckpointError)
    await expect(openNpz(path)).rejects.toThrow(message)
  })

  it('notices data that was changed', async () => {
    const bytes = await fs.readFile(fixture('arrays.npz'))
    const file = await openNpz(fixture('arrays.npz'))
    const at = file.info('f4').place!.byteOffset
    await file.close()
    bytes[at] = bytes[at]! ^ 1
    await fs.writeFile(join(folder, 'changed.npz'), bytes)
    const changed = await openNpz(join(folder, 'changed.npz'))
    await expect(changed.read('f4')).rejects.toThrow(/checksum/)
    await changed.close()
  })

  it('refuses a file cut short at every 7th byte', async () => {
    const bytes = await fs.readFile(fixture('arrays.npz'))
    for (let length = 0; length < bytes.byteLength; length += 7) {
      await fs.writeFile(join(folder, 'cut.npz'), bytes.subarray(0, length))
      await expect(openNpz(join(folder, 'cut.npz')), `cut at ${length}`).rejects.toThrow(CheckpointError)
    }
  })
})

describe('writeNpz', () => {
  it('is read back byte for byte', async () => {
    const arrays = [...(await readNpz(fixture('arrays.npz')))].map(([name, { bytes, ...rest }]) => ({
      ...{ name, ...rest },
      data: async (): Promise<Uint8Array> => bytes,
    }))
    const path = join(folder, 'w.npz')
    expect(await writeNpz(path, arrays)).toBe((await fs.stat(path)).size)
    expect(await readNpz(path)).toEqual(await readNpz(fixture('arrays.npz')))
  })

  it('writes headers as NumPy does', () => {
    const text = Buffer.from(buildNpyHeader('a', 'BOOL', [3])).toString('latin1')
    expect(text.length % 64).toBe(0)
    expect(text.slice(0, 8)).toBe('\x93NUMPY\x01\0')
    expect(text.slice(10).trimEnd()).toBe("{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }")
    expect(text.endsWith(' \n')).toBe(true)
  })

  it('refuses bfloat16, repeated names and data of another size', async () => {
    const path = join(folder, 'w.npz')
    const array: NpzArray = { name: 'a', dtype: 'F32', shape: [2], data: new Uint8Array(8) }
    await expect(writeNpz(path, [{ ...array, dtype: 'BF16' }])).rejects.toThrow(/NumPy has \(float32 for bfloat16\)/)
    await expect(writeNpz(path, [array, array])).rejects.toThrow(ArgumentError)
    await expect(writeNpz(path, [{ ...array, shape: [3] }])).rejects.toThrow(/must be 12 bytes.*received 8/)
    expect(await fs.readdir(folder)).toEqual([])
  })
})
