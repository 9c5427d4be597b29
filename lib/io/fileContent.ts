/** What a file is, judged by its first bytes: names and extensions of model files are often wrong. */
import type { ByteSource } from './byteSource.ts'
import { MAX_HEADER_BYTES } from './safetensorsHeader.ts'

export type FileContent =
  | 'safetensors'
  | 'zip'
  | 'legacyTorch'
  | 'legacyTorchTar'
  | 'pickle'
  | 'empty'
  | 'html'
  | 'gitLfsPointer'
  | 'other'

/** What is read to tell: a tar archive says what it is at byte 257. */
const PROBE_BYTES = 512
/** PyTorch's magic number, 0x1950a86a20f9469cfc6c, as protocol 2 pickles it. */
const LEGACY_MAGIC = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex')

/** The kind of a file, and a phrase for messages: "found ...". */
export async function fileContent(source: ByteSource): Promise<{ kind: FileContent; found: string }> {
  const { size } = source
  if (size === 0) return { kind: 'empty', found: 'an empty file; copy or download it again' }
  const start = Buffer.from((await source.read(0, Math.min(size, PROBE_BYTES))) as Uint8Array)
  const text = start.toString('latin1').replace(/^\xef\xbb\xbf/, '')
  if (start.subarray(0, 4).equals(Buffer.from('PK\x03\x04'))) return { kind: 'zip', found: 'a zip archive' }
  if (start.subarray(0, 4).equals(Buffer.from('PK\x05\x06'))) return { kind: 'zip', found: 'an empty zip archive' }
  if (looksLikeSafetensors(start)) return { kind: 'safetensors', found: 'a safetensors file' }
  if (start.subarray(0, LEGACY_MAGIC.length).equals(LEGACY_MAGIC)) {
    return { kind: 'legacyTorch', found: 'a file of PyTorch before 1.6' }
  }
  if (text.slice(257, 262) === 'ustar') return { kind: 'legacyTorchTar', found: 'a tar archive' }
  if (start[0] === 0x80 && (start[1] as number) <= 5) return { kind: 'pickle', found: 'a bare Python pickle' }
  if (/^\s*<(!doctype|html|head|body|\?xml)/i.test(text)) {
    return { kind: 'html', found: 'a web page, probably an error message; download the file again' }
  }
  if (text.startsWith('version https://git-lfs')) {
    return { kind: 'gitLfsPointer', found: 'a git-lfs pointer instead of the file itself; run "git lfs pull"' }
  }
  return { kind: 'other', found: describeOther(start, text) }
}

function looksLikeSafetensors(start: Buffer): boolean {
  return start.byteLength >= 9 && start[8] === 0x7b && start.readBigUInt64LE(0) <= BigInt(MAX_HEADER_BYTES)
}

const signatures: readonly [bytes: string, name: string][] = [
  ['GGUF', 'a GGUF file'],
  ['\x89HDF', 'an HDF5 file'],
  ['\x93NUMPY', 'a NumPy .npy array'],
  ['\x1f\x8b', 'a gzip archive; unpack it first'],
  ['7z\xbc\xaf', 'a 7-Zip archive; unpack it first'],
  ['Rar!', 'a RAR archive; unpack it first'],
  ['\x89PNG', 'a PNG picture'],
  ['\xff\xd8\xff', 'a JPEG picture'],
  ['%PDF', 'a PDF document'],
  ['{', 'a JSON text'],
]

function describeOther(start: Buffer, text: string): string {
  const known = signatures.find(([bytes]) => text.startsWith(bytes))
  if (known !== undefined) return known[1]
  if (start.every((byte) => byte === 0)) return 'zero bytes; the copy or download was cut off'
  return `something else, which starts with the bytes ${start.subarray(0, 8).toString('hex')}`
}
