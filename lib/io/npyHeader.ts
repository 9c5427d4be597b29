/** The header of a NumPy array file: a magic word, a version, and one line of Python that describes the array. */
import { ArgumentError, CheckpointError } from '../util/errors.ts'
import { type FileDType, fileDTypeBytes } from './tensorBytes.ts'

export interface NpyHeader {
  readonly dtype: FileDType
  /** Empty for a scalar. */
  readonly shape: readonly number[]
  /** Whether the first axis varies fastest. */
  readonly fortranOrder: boolean
  /** Bytes of the header: the data follows. */
  readonly byteLength: number
}

/** More than the longest header that NumPy writes for an array without fields. */
export const MAX_NPY_HEADER_BYTES = 1 << 16
const MAX_AXES = 64
const MAGIC = Buffer.from('\x93NUMPY', 'latin1')

const descriptors: Readonly<Record<string, FileDType>> = {
  f2: 'F16',
  f4: 'F32',
  f8: 'F64',
  i1: 'I8',
  i2: 'I16',
  i4: 'I32',
  i8: 'I64',
  u1: 'U8',
  u2: 'U16',
  u4: 'U32',
  u8: 'U64',
  b1: 'BOOL',
}

/**
 * Reads the header at the start of an array file.
 *
 * @param path named in errors, with the array's name
 * @param start the first bytes of the array file, at least the header or {@link MAX_NPY_HEADER_BYTES}
 * @param fileBytes size of the array file: the data must be exactly what type and shape say
 * @throws CheckpointError for damage, objects, other byte orders and types this library does not have
 */
export function parseNpyHeader(path: string, name: string, start: Uint8Array, fileBytes: number): NpyHeader {
  const fail = (problem: string): CheckpointError => new CheckpointError(path, `array "${name}": ${problem}`)
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.byteLength)
  const version = bytes[6]
  if (bytes.byteLength < 12 || !bytes.subarray(0, 6).equals(MAGIC) || version === undefined) {
    throw fail('expected a NumPy array, found other data')
  }
  if (version < 1 || version > 3) throw fail(`expected version 1, 2 or 3 of the NumPy format, found ${version}`)
  const textStart = version === 1 ? 10 : 12
  const byteLength = textStart + (version === 1 ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8))
  if (byteLength > bytes.byteLength) {
    throw fail(`expected a header of ${byteLength} bytes, found ${bytes.byteLength}; the file is cut short or damaged`)
  }
  const text = bytes.toString('latin1', textStart, byteLength)
  const { descriptor, fortranOrder, shape } = parseDescription(text, fail)
  const dtype = dtypeOf(descriptor, fail)
  let expected: number = fileDTypeBytes[dtype]
  for (const size of shape) expected *= size
  if (fileBytes - byteLength !== expected) {
    const wanted = `${expected} bytes for ${descriptor} of shape [${shape.join(', ')}]`
    throw fail(`expected ${wanted}, found ${fileBytes - byteLength}; the file is damaged`)
  }
  return { dtype, shape, fortranOrder, byteLength }
}

interface Description {
  readonly descriptor: string
  readonly fortranOrder: boolean
  readonly shape: readonly number[]
}

/** The three fields in any order, and nothing else: `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`. */
function parseDescription(text: string, fail: (problem: string) => CheckpointError): Description {
  const field = /\s*'(descr|fortran_order|shape)'\s*:\s*('[^'\\]*'|True|False|\([\d, ]*\)|\[.*?\])\s*(,|(?=\}))/y
  const fields = new Map<string, string>()
  const start = /^\s*\{/.exec(text)?.[0].length
  let end = start ?? 0
  for (let match = fieldAt(field, text, end); match !== null; match = fieldAt(field, text, end)) {
    if (fields.has(match[1] as string)) throw fail(`the header says ${match[1]} twice; the file is damaged`)
    fields.set(match[1] as string, match[2] as string)
    end = field.lastIndex
  }
  const descriptor = fields.get('descr')
  const order = fields.get('fortran_order')
  const shape = /^\((?:(\d{1,16}(?:, *\d{1,16})*),? *)?\)$/.exec(fields.get('shape') ?? '')
  if (descriptor?.startsWith('[')) throw fail('expected an array of numbers, found one with named fields')
  if (start === undefined || !/^\s*\}\s*$/.test(text.slice(end)) || !descriptor?.startsWith("'") || shape === null) {
    throw fail(`expected a header with descr, fortran_order and shape, found ${JSON.stringify(text.slice(0, 200))}`)
  }
  if (order !== 'True' && order !== 'False') throw fail(`expected fortran_order True or False, found ${order}`)
  const sizes = shape[1] === undefined ? [] : shape[1].split(',').map(Number)
  if (sizes.length > MAX_AXES || !sizes.every(Number.isSafeInteger)) {
    throw fail(`expected at most ${MAX_AXES} sizes below 2^53, found ${shape[0].slice(0, 100)}`)
  }
  return { descriptor: descriptor.slice(1, -1), fortranOrder: order === 'True', shape: sizes }
}

function fieldAt(field: RegExp, text: string, position: number): RegExpExecArray | null {
  field.lastIndex = position
  return field.exec(text)
}

function dtypeOf(descriptor: string, fail: (problem: string) => CheckpointError): FileDType {
  const known = Object.keys(descriptors).join(', ')
  if (/^[|<>=]?O/.test(descriptor)) {
    throw fail('this is an array of Python objects, which is a program in disguise; expected an array of numbers')
  }
  const match = /^([|<=>])?([a-z]\d+)$/.exec(descriptor)
  const dtype = match?.[2] !== undefined && Object.hasOwn(descriptors, match[2]) ? descriptors[match[2]] : undefined
  if (dtype === undefined) throw fail(`found the dtype "${descriptor}"; this reader knows ${known}`)
  if (match?.[1] === '>' && fileDTypeBytes[dtype] > 1) {
    throw fail(`expected little-endian data, found "${descriptor}"; convert it with array.astype('<${match[2]}')`)
  }
  return dtype
}

/**
 * The header of a row-major array, as NumPy writes it: version 1, padded to a multiple of 64 bytes.
 *
 * @throws ArgumentError for bfloat16, which NumPy does not have
 */
export function buildNpyHeader(name: string, dtype: FileDType, shape: readonly number[]): Uint8Array {
  const descriptor = Object.keys(descriptors).find((key) => descriptors[key] === dtype)
  if (descriptor === undefined) {
    throw new ArgumentError('writeNpz', `the type of "${name}"`, 'one that NumPy has (float32 for bfloat16)', dtype)
  }
  const order = fileDTypeBytes[dtype] === 1 ? '|' : '<'
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const text = `{'descr': '${order}${descriptor}', 'fortran_order': False, 'shape': (${sizes}), }`
  const header = Buffer.alloc(Math.ceil((10 + text.length + 1) / 64) * 64, ' ')
  header.set(MAGIC, 0)
  header.writeUInt16LE(1, 6)
  header.writeUInt16LE(header.byteLength - 10, 8)
  header.write(text, 10, 'latin1')
  header.write('\n', header.byteLength - 1, 'latin1')
  return header
}
