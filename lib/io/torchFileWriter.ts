import { ArgumentError } from '../util/errors.ts'
import { atomicWrite, type WritableFileSystem } from './atomicWrite.ts'
import { type PickleCode, type PickleWritable, PickleWriter } from './pickleWriter.ts'
import type { SafetensorsTensor } from './safetensors.ts'
import { entryBytes } from './safetensorsHeader.ts'
import { planStoredZip, type StoredZipItem } from './storedZipWriter.ts'
import { fileDTypeBytes } from './tensorBytes.ts'
import { storageClasses, torchDType } from './torchTensor.ts'

/** One tensor to be written; the same that `writeSafetensors` takes. */
export type TorchFileTensor = SafetensorsTensor

export interface WriteTorchFileOptions {
  /**
   * The key of an inner dictionary that gets the tensors: `state_dict` for a checkpoint, `string_to_param` for an embedding.
   * Default: the file's own dictionary gets them.
   */
  readonly under?: string
  /** Values beside the tensors, or beside `under`: `{ epoch, global_step }`. Default: none. */
  readonly outer?: Readonly<Record<string, PickleWritable>> | ReadonlyMap<string, PickleWritable>
  /** Whether the dictionary of tensors is a `collections.OrderedDict`. Default: false, a plain one. */
  readonly ordered?: boolean
  /** See `atomicWrite`. */
  readonly fileSystem?: WritableFileSystem
}

/** The folder in the archive; PyTorch uses this name when it writes to a stream. Readers take any. */
const FOLDER = 'archive'

/**
 * Writes a `.ckpt`, `.pt` or `.bin` file atomically, in PyTorch's zip form: `torch.load(path, weights_only=True)` reads it,
 * also with `mmap=True`. The tensors keep the order given, and lie at multiples of 64 bytes. At most one tensor given as a
 * function is in memory at a time. Equal contents make equal bytes.
 *
 * @returns the size of the file in bytes
 * @throws ArgumentError when names repeat, data has not the size that its shape and type demand, or a value cannot be pickled
 * @throws IoError when the file cannot be written; a previous file of that name stays
 */
export async function writeTorchFile(
  path: string,
  tensors: Iterable<TorchFileTensor>,
  options: WriteTorchFileOptions = {},
): Promise<number> {
  const { fileSystem } = options
  const ordered = [...tensors]
  const storages = ordered.map((tensor, index): StoredZipItem => {
    return { name: `${FOLDER}/data/${index}`, byteLength: entryBytes(tensor), data: checkedData(tensor) }
  })
  const text = (name: string, content: Uint8Array): StoredZipItem => {
    return { name: `${FOLDER}/${name}`, byteLength: content.byteLength, data: content }
  }
  const plan = planStoredZip([
    text('data.pkl', describe(ordered, options)),
    text('byteorder', Buffer.from('little')),
    ...storages,
    text('version', Buffer.from('3\n')),
  ])
  const settings = { expectedBytes: plan.byteLength, ...(fileSystem === undefined ? {} : { fileSystem }) }
  return atomicWrite(path, plan.chunks(), settings)
}

function checkedData(tensor: TorchFileTensor): () => Promise<Uint8Array> {
  return async () => {
    const data = typeof tensor.data === 'function' ? await tensor.data() : tensor.data
    const expected = entryBytes(tensor)
    if (data.byteLength === expected) return data
    const wanted = `${expected} bytes for ${tensor.dtype} of shape [${tensor.shape.join(', ')}]`
    throw new ArgumentError('writeTorchFile', `the data of "${tensor.name}"`, wanted, `${data.byteLength} bytes`)
  }
}

function describe(tensors: readonly TorchFileTensor[], options: WriteTorchFileOptions): Uint8Array {
  const { under, outer = {}, ordered = false } = options
  const state = new Map<string, PickleWritable>()
  for (const [index, tensor] of tensors.entries()) {
    if (state.has(tensor.name)) throw new ArgumentError('writeTorchFile', 'tensors', 'of distinct names', tensor.name)
    state.set(tensor.name, rebuiltTensor(tensor, `${index}`))
  }
  const dictionary: PickleWritable = ordered ? orderedDictionary(state) : state
  const beside = outer instanceof Map ? outer : new Map(Object.entries(outer))
  for (const name of beside.keys()) {
    if (under === undefined ? state.has(name) : name === under) {
      throw new ArgumentError('writeTorchFile', 'outer', 'of names that are not taken by tensors', name)
    }
  }
  const writer = new PickleWriter()
  if (under !== undefined) writer.write(new Map([[under, dictionary], ...beside]))
  else writer.write(ordered ? orderedDictionary(new Map([...state, ...beside])) : new Map([...state, ...beside]))
  return writer.finish()
}

function orderedDictionary(entries: ReadonlyMap<string, PickleWritable>): PickleCode {
  return { writePickle: (writer) => writer.dictionary(entries, () => emptyOrderedDictionary(writer)) }
}

function emptyOrderedDictionary(writer: PickleWriter): void {
  writer.global('collections', 'OrderedDict')
  writer.tuple([])
  writer.reduce()
}

/** The call that makes a tensor of a storage: contiguous, from the start, without gradient and hooks. */
function rebuiltTensor({ dtype, shape }: TorchFileTensor, key: string): PickleCode {
  const name = torchDType(dtype)
  const storageClass = [...storageClasses].find(([, known]) => known === name)?.[0]
  const count = shape.reduce((product, size) => product * size, 1)
  const strides = shape.map((_, axis) =>
    shape.slice(axis + 1).reduce((product, size) => product * Math.max(size, 1), 1),
  )
  const storage: PickleCode = {
    writePickle(writer) {
      const type: PickleCode = {
        writePickle: () =>
          storageClass === undefined
            ? writer.global('torch.storage', 'UntypedStorage')
            : writer.global('torch', storageClass),
      }
      // A storage without a type counts bytes.
      const elements = storageClass === undefined ? count * fileDTypeBytes[dtype] : count
      writer.tuple(['storage', type, key, 'cpu', elements])
      writer.opcode('Q')
    },
  }
  const tupleOf = (items: readonly number[]): PickleCode => ({ writePickle: (writer) => writer.tuple(items) })
  const hooks: PickleCode = { writePickle: emptyOrderedDictionary }
  const type: PickleCode = { writePickle: (writer) => writer.global('torch', name) }
  return {
    writePickle(writer) {
      const call = storageClass === undefined ? '_rebuild_tensor_v3' : '_rebuild_tensor_v2'
      writer.global('torch._utils', call)
      const args = [storage, 0, tupleOf(shape), tupleOf(strides), false, hooks]
      writer.tuple(storageClass === undefined ? [...args, type] : args)
      writer.reduce()
    },
  }
}
