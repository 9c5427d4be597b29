/** Each rule of the safetensors format, broken once. */
import { describe, expect, it } from 'vitest'
import { openSafetensors } from '../../lib/io/safetensors.ts'
import { CheckpointError } from '../../lib/util/errors.ts'
import { memorySource } from './memorySource.ts'

function fileOf(header: string | Uint8Array, dataBytes: number, length?: bigint): Buffer {
  const text = Buffer.from(header)
  const prefix = Buffer.alloc(8)
  prefix.writeBigUInt64LE(length ?? BigInt(text.byteLength))
  return Buffer.concat([prefix, text, Buffer.alloc(dataBytes)])
}

const open = (bytes: Uint8Array): ReturnType<typeof openSafetensors> =>
  openSafetensors('made.safetensors', { openSource: async () => memorySource(bytes) })
const f32 = (offsets: string, shape = '[1]'): string => `{"dtype":"F32","shape":${shape},"data_offsets":${offsets}}`

describe('openSafetensors', () => {
  it('reads the file that the others are made from', async () => {
    const file = await open(fileOf(`{"a":${f32('[0,4]')},"b":${f32('[4,8]')}}   `, 8))
    expect(file.names).toEqual(['a', 'b'])
    expect((await open(fileOf('{}', 0))).names).toEqual([])
  })

  it.each<[string, Buffer, RegExp]>([
    ['a tensor name twice', fileOf(`{"a":${f32('[0,4]')},"a":${f32('[4,8]')}}`, 8), /found the key "a" twice/],
    ['a name twice, once escaped', fileOf(`{"a":${f32('[0,4]')},"\\u0061":${f32('[4,8]')}}`, 8), /the key "a" twice/],
    ['a field twice', fileOf(`{"a":${f32('[0,4],"dtype":"F32"')}}`, 4), /the key "dtype" twice/],
    ['metadata twice', fileOf('{"__metadata__":{},"__metadata__":{}}', 0), /the key "__metadata__" twice/],
    ['a metadata key twice', fileOf('{"__metadata__":{"a":"b","a":"c"}}', 0), /the key "a" twice/],
    ['metadata that is not text', fileOf('{"__metadata__":{"a":1}}', 0), /metadata "a" must be a text, found 1/],
    ['metadata that is a list', fileOf('{"__metadata__":[]}', 0), /__metadata__ in the header must be an object/],
    ['a header of 2^63 bytes', fileOf('{}', 0, 2n ** 63n), /not a safetensors file/],
    ['a header of 100,000,001 bytes', fileOf('{}', 0, 100_000_001n), /not a safetensors file/],
    ['a header longer than the file', fileOf('{}', 0, 3n), /expected a header of 3 bytes, found 2/],
    ['a header of no bytes', fileOf('', 2, 0n), /not a safetensors file/],
    ['a header that starts with a space', fileOf(' {}', 0), /not a safetensors file/],
    ['a header that is a list', fileOf('[]', 0), /not a safetensors file/],
    ['text after the header', fileOf('{} x', 0), /header is not JSON/],
    ['a zero byte after the header', fileOf('{}\0', 0), /header is not JSON/],
    ['invalid UTF-8', fileOf(Buffer.from([0x7b, 0x22, 0xc0, 0x80, 0x22, 0x3a, 0x31, 0x7d]), 0), /header is not JSON/],
    ['a surrogate in UTF-8', fileOf(Buffer.from('7b22eda080223a317d', 'hex'), 0), /header is not JSON/],
    ['an overlap', fileOf(`{"a":${f32('[0,4]')},"b":${f32('[0,4]')}}`, 4), /"b" overlaps/],
    ['a hole', fileOf(`{"a":${f32('[0,4]')},"b":${f32('[8,12]')}}`, 12), /"b" leaves a gap/],
    ['a hole at the start', fileOf(`{"a":${f32('[4,8]')}}`, 8), /"a" leaves a gap/],
    ['data after the last tensor', fileOf(`{"a":${f32('[0,4]')}}`, 5), /found 1 more/],
    ['a last tensor past the end', fileOf(`{"a":${f32('[0,4]')}}`, 3), /cut short: tensor "a"/],
    ['offsets in reverse', fileOf(`{"a":${f32('[4,0]')}}`, 4), /expected 4 bytes/],
    ['three offsets', fileOf(`{"a":${f32('[0,4,8]')}}`, 4), /two data_offsets/],
    ['offsets of texts', fileOf(`{"a":${f32('["0","4"]')}}`, 4), /two data_offsets/],
    ['offsets beyond 2^53', fileOf(`{"a":${f32('[0,1e300]')}}`, 4), /two data_offsets/],
    [
      'a shape that overflows',
      fileOf(`{"a":${f32('[0,0]', '[4503599627370496,4503599627370496,0]')}}`, 0),
      /below 2\^53/,
    ],
    ['a fraction as a size', fileOf(`{"a":${f32('[0,6]', '[1.5]')}}`, 6), /a shape of whole numbers/],
    ['a shape of another byte count', fileOf(`{"a":${f32('[0,4]', '[2]')}}`, 4), /expected 8 bytes/],
    [
      'a dtype in lower case',
      fileOf(`{"a":${f32('[0,4]').replace('F32', 'f32')}}`, 4),
      /the dtype "f32"; this reader knows/,
    ],
    ['a missing dtype', fileOf('{"a":{"shape":[],"data_offsets":[0,0]}}', 0), /expected a dtype/],
    [
      'lists inside of lists',
      fileOf(`{"a":${f32('[0,4]', `${'['.repeat(4)}1${']'.repeat(4)}`)}}`, 4),
      /more than 3 deep/,
    ],
    ['a million brackets', fileOf(`{"a":${'['.repeat(1_000_000)}`, 0), /more than 3 deep/],
    ['millions of values', fileOf(`{"a":[${'1,'.repeat(4_000_001)}1]}`, 0), /more than 4000000 values/],
  ])('refuses %s', async (_what, bytes, message) => {
    await expect(open(bytes)).rejects.toThrow(CheckpointError)
    await expect(open(bytes)).rejects.toThrow(message)
  })

  it('keeps the names of the prototype chain apart from it', async () => {
    const file = await open(fileOf(`{"__proto__":${f32('[0,4]')},"constructor":${f32('[4,8]')}}`, 8))
    expect(file.names).toEqual(['__proto__', 'constructor'])
    expect(file.has('toString')).toBe(false)
  })

  it('takes quotes, braces and backslashes in names for what they are', async () => {
    const names = ['{"a"', 'b\\', '\\"', ',"a":', 'a']
    const entries = names.map((name, index) => `${JSON.stringify(name)}:${f32(`[${4 * index},${4 * index + 4}]`)}`)
    const file = await open(fileOf(`{${entries.join(',')}}`, 4 * names.length))
    expect(file.names).toEqual(names)
  })
})
