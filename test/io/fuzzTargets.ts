/**
 * Parsers of foreign files under mutated input. Whatever the bytes, a parser succeeds or throws one of our errors; it takes
 * at most two seconds for inputs of a few kilobytes, asks the file for no more bytes than the file has, and hands out tensors
 * of at most 64 MiB (the bound of views that repeat elements).
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { openNpz } from '../../lib/io/npz.ts'
import { readPickle } from '../../lib/io/pickle.ts'
import { pickleNesting, walkPickle } from '../../lib/io/pickleValues.ts'
import { openSafetensors } from '../../lib/io/safetensors.ts'
import { readStoredZip } from '../../lib/io/storedZip.ts'
import type { TensorFile } from '../../lib/io/tensorFile.ts'
import { openTorchFile } from '../../lib/io/torchFile.ts'
import { NoisewrightError } from '../../lib/util/errors.ts'
import { memorySource } from './memorySource.ts'
import { makeZip, type ZipPart } from './zipMaker.ts'

export const MAX_INPUT_MS = 2000
export const MAX_TENSOR_BYTES = 1 << 26

export interface FuzzTarget {
  readonly name: string
  readonly inputs: fc.Arbitrary<Uint8Array>
  /** Throws when the parser does anything but succeed or refuse. */
  readonly run: (bytes: Uint8Array) => Promise<'read' | 'refused'>
}

type Mutation = (bytes: Buffer, other: Buffer) => Buffer

/** Values at which lengths, counts and offsets tip over. */
const edges = [
  0n,
  1n,
  7n,
  0x7fn,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0xffffffffn,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
]

function mutations(tokens: readonly string[]): fc.Arbitrary<Mutation> {
  const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true })
  const at = (bytes: Buffer, position: number): number => Math.floor(position * bytes.byteLength)
  const cut = (bytes: Buffer, from: number, to: number): Buffer =>
    bytes.subarray(Math.min(from, to), Math.max(from, to))
  const put = (bytes: Buffer, position: number, piece: Uint8Array): Buffer => {
    const start = at(bytes, position)
    return Buffer.concat([bytes.subarray(0, start), piece, bytes.subarray(start)])
  }
  return fc.oneof(
    fc.tuple(place, fc.nat(255)).map(
      ([position, value]): Mutation =>
        (bytes) => {
          if (bytes.byteLength > 0) bytes[at(bytes, position)] = value
          return bytes
        },
    ),
    fc.tuple(place, fc.constantFrom(...edges), fc.constantFrom(1, 2, 4, 8), fc.boolean()).map(
      ([position, value, width, big]): Mutation =>
        (bytes) => {
          const number = Buffer.alloc(8)
          number.writeBigUInt64LE(value)
          const piece = number.subarray(0, width)
          bytes.set(
            (big ? piece.reverse() : piece).subarray(0, bytes.byteLength - at(bytes, position)),
            at(bytes, position),
          )
          return bytes
        },
    ),
    fc.tuple(place, place).map(
      ([from, to]): Mutation =>
        (bytes) => {
          const piece = cut(bytes, at(bytes, from), at(bytes, to))
          return Buffer.concat([
            bytes.subarray(0, at(bytes, Math.min(from, to))),
            bytes.subarray(at(bytes, Math.min(from, to)) + piece.byteLength),
          ])
        },
    ),
    fc.tuple(place, place, place).map(
      ([position, from, to]): Mutation =>
        (bytes) =>
          put(bytes, position, Buffer.from(cut(bytes, at(bytes, from), at(bytes, to)).subarray(0, 256))),
    ),
    fc.tuple(place, place, place).map(
      ([position, from, to]): Mutation =>
        (bytes, other) =>
          put(bytes, position, cut(other, at(other, from), at(other, to)).subarray(0, 256)),
    ),
    fc.tuple(place, fc.constantFrom(...tokens), fc.integer({ min: 1, max: 40 })).map(
      ([position, token, count]): Mutation =>
        (bytes) =>
          put(bytes, position, Buffer.from(token.repeat(count), 'latin1')),
    ),
    place.map(
      (position): Mutation =>
        (bytes) =>
          bytes.subarray(0, at(bytes, position)),
    ),
  )
}

/** One of the seeds after one to six mutations. */
function mutated(seeds: readonly Uint8Array[], tokens: readonly string[]): fc.Arbitrary<Uint8Array> {
  const seed = fc.constantFrom(...seeds)
  return fc
    .tuple(seed, seed, fc.array(mutations(tokens), { minLength: 1, maxLength: 6 }))
    .map(([bytes, other, list]) =>
      list.reduce<Buffer>((result, mutate) => mutate(Buffer.from(result), Buffer.from(other)), Buffer.from(bytes)),
    )
}

/** The entries of an archive, with their data. */
async function partsOf(bytes: Buffer): Promise<readonly ZipPart[]> {
  const entries = await readStoredZip('fixture', memorySource(bytes))
  return [...entries.values()].map(({ name, byteOffset, byteLength }) => {
    return { name, data: bytes.subarray(byteOffset, byteOffset + byteLength) }
  })
}

const isPickle = ({ name }: ZipPart): boolean => String(name).endsWith('/data.pkl')

async function readAll(file: TensorFile): Promise<void> {
  for (const name of file.names.slice(0, 8)) {
    const { byteLength } = file.info(name)
    const bytes = await file.read(name)
    if (bytes.byteLength !== byteLength)
      throw new Error(`"${name}": ${byteLength} bytes announced, ${bytes.byteLength} read`)
    if (byteLength > MAX_TENSOR_BYTES) throw new Error(`"${name}" has ${byteLength} bytes`)
  }
  await file.close()
}

/** Adds the rules about errors, time and reads to what a parser does with an open file. */
function guarded(parse: (source: ReturnType<typeof memorySource>) => Promise<void>): FuzzTarget['run'] {
  return async (bytes) => {
    const source = memorySource(bytes)
    const started = process.cpuUsage()
    let outcome: 'read' | 'refused' = 'read'
    try {
      await parse(source)
    } catch (error) {
      if (!(error instanceof NoisewrightError)) throw error
      outcome = 'refused'
    }
    // Processor time: a machine busy with something else makes no parser slower.
    const { user, system } = process.cpuUsage(started)
    const elapsed = (user + system) / 1000
    if (elapsed > MAX_INPUT_MS) throw new Error(`took ${Math.round(elapsed)} ms`)
    if (source.largestRead() > bytes.byteLength) throw new Error(`asked for ${source.largestRead()} bytes at once`)
    return outcome
  }
}

const jsonTokens = [
  '"',
  '\\',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"a":',
  '"shape"',
  '"dtype":"F32"',
  '9',
  '-',
  '1e99',
  '\xff',
  '\\u0061',
]
const pickleTokens = [
  ...'.()]}0123INKMJGLSTUXVBCcdeabglopqhrjstuRQPi\x80\x81\x85\x86\x87\x88\x8a\x8b\x8c\x8e\x8f\x90\x91\x93\x94',
]
const torchTokens = [
  ...pickleTokens,
  'ctorch._utils\n_rebuild_tensor_v2\n',
  'cos\nsystem\n',
  'ctorch\nHalfStorage\n',
  'ccollections\nOrderedDict\n',
]
const zipTokens = [
  'PK\x01\x02',
  'PK\x03\x04',
  'PK\x05\x06',
  'PK\x06\x06',
  'PK\x06\x07',
  '\x01\0\x10\0',
  '../',
  '/',
  '\0',
]
const npyTokens = ["'descr': '<f4',", "'shape': (", ')', ',', '(', "'", '{', '}', 'True', '>', '|O', '9', ' ']

/** @param folder `test/fixtures/torch_files`, from where the program runs */
export async function fuzzTargets(folder: string): Promise<readonly FuzzTarget[]> {
  const fixture = (name: string): Buffer => readFileSync(join(folder, name))
  const headers = ['dtypes.safetensors', 'views.safetensors', 'lightning.safetensors'].map(fixture)
  const torchFiles = await Promise.all(
    ['dtypes.pt', 'views2.pt', 'views5.pt', 'lightning.ckpt', 'inversion.pt', 'hostile.pt'].map((name) =>
      partsOf(fixture(name)),
    ),
  )
  const torchPickles = torchFiles.map((parts) => Buffer.from(parts.find(isPickle)!.data))
  const pickles = [0, 1, 2, 3, 4, 5].map((protocol) => fixture(`protocol${protocol}.pkl`))
  const arrays = (await partsOf(fixture('arrays.npz'))).map(({ data }) => Buffer.from(data))
  const torch = guarded(async (source) => readAll(await openTorchFile('f.pt', { openSource: async () => source })))
  const npz = guarded(async (source) => readAll(await openNpz('f.npz', { openSource: async () => source })))
  return [
    {
      name: 'safetensors',
      // The length before the header is put right in half of the cases, so that mutations reach the parser of the header.
      inputs: fc.tuple(mutated(headers, jsonTokens), fc.boolean()).map(([bytes, mend]) => {
        const end = Buffer.from(bytes).lastIndexOf('}')
        if (mend && end > 8) Buffer.from(bytes.buffer, bytes.byteOffset).writeBigUInt64LE(BigInt(end - 7))
        return bytes
      }),
      run: guarded(async (source) =>
        readAll(await openSafetensors('f.safetensors', { openSource: async () => source })),
      ),
    },
    {
      name: 'zip',
      inputs: mutated([fixture('ordered.bin'), fixture('arrays.npz'), fixture('compressed.npz')], zipTokens),
      run: guarded(async (source) => {
        const entries = await readStoredZip('f.zip', source)
        const total = [...entries.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
        if (total > source.size) throw new Error(`entries of ${total} bytes`)
      }),
    },
    {
      name: 'pickle',
      inputs: mutated([...pickles, ...torchPickles], pickleTokens),
      run: guarded(async (source) => {
        const { value } = readPickle('f.pkl', await source.read(0, source.size), { persistentLoad: () => null })
        if (pickleNesting(value) > 100) throw new Error('nested too deeply')
        if ([...walkPickle(value)].length > 10 * source.size) throw new Error('more values than bytes')
      }),
    },
    {
      name: 'torch file',
      inputs: mutated(['views2.pt', 'dtypes.pt', 'lightning.ckpt'].map(fixture), [...torchTokens, ...zipTokens]),
      run: torch,
    },
    {
      name: 'torch pickle',
      inputs: fc.oneof(
        ...torchFiles.map((parts) =>
          mutated([parts.find(isPickle)!.data], torchTokens).map((data) =>
            makeZip(parts.map((part) => (isPickle(part) ? { ...part, data } : part))),
          ),
        ),
      ),
      run: torch,
    },
    { name: 'npz', inputs: mutated([fixture('arrays.npz')], [...zipTokens, ...npyTokens]), run: npz },
    { name: 'npy', inputs: mutated(arrays, npyTokens).map((data) => makeZip([{ name: 'a.npy', data }])), run: npz },
  ]
}
