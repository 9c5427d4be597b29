import { CheckpointError, DisposedError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { type ByteSource, openByteSource } from './byteSource.ts'
import { fileContent } from './fileContent.ts'
import { gatherElements } from './gatherElements.ts'
import { readPickle } from './pickle.ts'
import { describePickleValue, PickleOpaque, type PickleValue, walkPickle } from './pickleValues.ts'
import { readStoredZip, type StoredZipEntry } from './storedZip.ts'
import { bytesToFloat32, fileDTypeBytes } from './tensorBytes.ts'
import type { TensorFile, TensorInfo } from './tensorFile.ts'
import { loadTorchStorage, storageElementBytes, TorchStorage, TorchTensor, torchConstructors } from './torchTensor.ts'

export { TorchStorage, TorchTensor } from './torchTensor.ts'

/** Longest description of tensors accepted; a Stable Diffusion checkpoint has about 150 KB. */
const MAX_PICKLE_BYTES = 1 << 26

interface TorchContents {
  readonly root: PickleValue
  readonly foreign: readonly string[]
  readonly storages: ReadonlyMap<string, StoredZipEntry>
}

/**
 * An open `.ckpt`, `.pt`, `.pth` or `.bin` file in the zip form of PyTorch 1.6 and later. Only the description of the
 * tensors is in memory. Nothing of the file has been executed, and nothing could be.
 */
export class TorchFile implements TensorFile {
  readonly path: string
  /** PyTorch files have no texts of their own: empty. */
  readonly metadata: ReadonlyMap<string, string> = new Map()
  /** Everything the file describes, as Python would have it: dictionaries are maps, tensors are {@link TorchTensor}. */
  readonly root: ReadonlyMap<PickleValue, PickleValue>
  /** What lies beside the tensors: `epoch`, `global_step`; beside `state_dict` where the file has one. */
  readonly outer: ReadonlyMap<string, PickleValue>
  /** `state_dict` when the tensors are the entries of that dictionary; undefined when they are those of the file itself. */
  readonly under: 'state_dict' | undefined
  /** Names of Python classes and functions this reader does not know: their objects are placeholders ({@link PickleOpaque}). */
  readonly foreign: readonly string[]
  readonly #storages: ReadonlyMap<string, StoredZipEntry>
  readonly #tensors = new Map<string, TorchTensor>()
  #source: ByteSource | undefined

  /** Use {@link openTorchFile}. */
  constructor(path: string, contents: TorchContents, source: ByteSource) {
    const { root, foreign, storages } = contents
    if (!(root instanceof Map)) {
      const advice = root instanceof PickleOpaque ? '; save its state_dict() in Python instead' : ''
      const found = describePickleValue(root)
      throw new CheckpointError(path, `expected a dictionary of tensors in the PyTorch file, found ${found}${advice}`)
    }
    this.path = path
    this.root = root
    this.foreign = foreign
    this.#storages = storages
    this.#source = source
    const state = root.get('state_dict')
    this.under = state instanceof Map ? 'state_dict' : undefined
    const outer = new Map<string, PickleValue>()
    for (const [name, value] of state instanceof Map ? state : root) {
      if (typeof name === 'string' && value instanceof TorchTensor) this.#tensors.set(name, value)
    }
    for (const [name, value] of root) {
      if (typeof name === 'string' && value !== state && this.#tensors.get(name) !== value) outer.set(name, value)
    }
    this.outer = outer
    for (const [name, tensor] of this.#tensors) this.#elementBytes(tensor, name)
  }

  /** Tensor names, in the order of the dictionary. */
  get names(): readonly string[] {
    return [...this.#tensors.keys()]
  }

  has(name: string): boolean {
    return this.#tensors.has(name)
  }

  /** @throws CheckpointError naming the nearest tensor when there is none of that name */
  info(name: string): TensorInfo {
    return this.infoOf(this.tensor(name), name)
  }

  /** The description of a tensor: its strides, and the storage it may share with others. */
  tensor(name: string): TorchTensor {
    const tensor = this.#tensors.get(name)
    if (tensor !== undefined) return tensor
    const hint = didYouMean(name, this.#tensors.keys())
    throw new CheckpointError(this.path, `expected a tensor "${name}", found none among ${this.#tensors.size}.${hint}`)
  }

  /**
   * What {@link info} says, for a tensor found anywhere in {@link root}.
   *
   * @param name how to call it. Default: by its storage
   * @throws CheckpointError when its type is not one that can be read
   */
  infoOf(tensor: TorchTensor, name = `storage ${tensor.storageKey}`): TensorInfo {
    const elementBytes = this.#elementBytes(tensor, name)
    const { dtype, shape } = tensor
    const byteOffset = this.#start(tensor) + tensor.storageOffset * elementBytes
    const descriptor = this.#source?.descriptor
    return {
      name,
      dtype: dtype as NonNullable<typeof dtype>,
      shape,
      byteLength: tensor.elementCount * elementBytes,
      place: descriptor === undefined || !tensor.contiguous ? undefined : { descriptor, byteOffset },
    }
  }

  /** The tensor's bytes: little-endian, row-major, in memory that the caller owns, aligned for any element type. */
  async read(name: string): Promise<Uint8Array> {
    return this.readTensor(this.tensor(name), name)
  }

  /** Reads a tensor found anywhere in {@link root}, as {@link read} does. Takes its view's span of the storage, at most. */
  async readTensor(tensor: TorchTensor, name = `storage ${tensor.storageKey}`): Promise<Uint8Array> {
    const elementBytes = this.#elementBytes(tensor, name)
    const source = this.#source
    if (source === undefined) {
      throw new DisposedError(`${this.path}: tensor "${name}" was read after close(); read it before`)
    }
    if (tensor.elementCount === 0) return new Uint8Array(0)
    const { shape, strides } = tensor
    const span = 1 + shape.reduce((sum, size, axis) => sum + (size - 1) * (strides[axis] as number), 0)
    const start = this.#start(tensor) + tensor.storageOffset * elementBytes
    const bytes = await source.read(start, span * elementBytes)
    return tensor.contiguous ? bytes : gatherElements(bytes, elementBytes, shape, strides)
  }

  /** The tensor's values as float32, whatever the type in the file (booleans are 0 and 1). */
  async readFloat32(name: string): Promise<Float32Array> {
    return bytesToFloat32(await this.read(name), this.info(name).dtype)
  }

  /** Closes the file; a second call does nothing. Tensors already read stay valid. */
  async close(): Promise<void> {
    const source = this.#source
    this.#source = undefined
    await source?.close()
  }

  #elementBytes({ dtype, dtypeName }: TorchTensor, name: string): number {
    if (dtype !== undefined) return fileDTypeBytes[dtype]
    const known = Object.keys(fileDTypeBytes).join(', ')
    throw new CheckpointError(this.path, `tensor "${name}" has the dtype ${dtypeName}; this reader knows ${known}`)
  }

  /** Position of the first byte of a tensor's storage. An empty one may have no entry. */
  #start({ storage }: TorchTensor): number {
    return this.#storages.get(storage.key)?.byteOffset ?? 0
  }
}

export interface OpenTorchFileOptions {
  /** How the file is opened, for instance as a memory map. Default: positional reads. */
  readonly openSource?: (path: string) => Promise<ByteSource>
}

/**
 * Opens a PyTorch file in the zip form: reads its directory and its description of tensors, and checks both. The caller
 * closes it. The tensors are the entries of the dictionary in the file, or of `state_dict` in it.
 *
 * The pickle is read as data: classes other than those of tensors and plain containers become placeholders, named in
 * `foreign`. Files of PyTorch before 1.6 are refused with the line of Python that converts them.
 *
 * @throws IoError when the file cannot be opened
 * @throws CheckpointError when it is damaged or hostile, or something else than a PyTorch file
 */
export async function openTorchFile(path: string, options: OpenTorchFileOptions = {}): Promise<TorchFile> {
  const { openSource = openByteSource } = options
  const source = await openSource(path)
  try {
    await checkKind(path, source)
    return new TorchFile(path, await readContents(path, source), source)
  } catch (error) {
    await source.close()
    throw error
  }
}

async function checkKind(path: string, source: ByteSource): Promise<void> {
  const { kind, found } = await fileContent(source)
  if (kind === 'zip') return
  const expected = 'expected a PyTorch file (a zip archive)'
  if (kind !== 'legacyTorch' && kind !== 'legacyTorchTar') {
    throw new CheckpointError(path, `${expected}, found ${found}`)
  }
  const convert = "torch.save(torch.load('OLD', map_location='cpu', weights_only=True), 'NEW')"
  const what = kind === 'legacyTorch' ? found : `${found}, perhaps a file of PyTorch before 0.1.10`
  const message = `${expected}, found ${what}; convert it once: python -c "import torch; ${convert}"`
  throw new CheckpointError(path, message)
}

async function readContents(path: string, source: ByteSource): Promise<TorchContents> {
  const compressedAdvice =
    'PyTorch files are stored uncompressed: unpack it, or write it again with torch.save (or zip -0)'
  const entries = await readStoredZip(path, source, { compressedAdvice })
  const prefix = archiveFolder(path, entries)
  const pickle = entries.get(`${prefix}data.pkl`) as StoredZipEntry
  if (pickle.byteLength > MAX_PICKLE_BYTES) {
    const message = `expected a description of at most ${MAX_PICKLE_BYTES} bytes, found data.pkl of ${pickle.byteLength}`
    throw new CheckpointError(path, message)
  }
  const order = entries.get(`${prefix}byteorder`)
  if (order !== undefined) {
    const text = Buffer.from(await source.read(order.byteOffset, Math.min(order.byteLength, 16))).toString('latin1')
    if (text !== 'little') throw new CheckpointError(path, `expected little-endian data, found byte order "${text}"`)
  }
  const storages = new Map<string, StoredZipEntry>()
  for (const [name, entry] of entries) {
    if (name.startsWith(`${prefix}data/`)) storages.set(name.slice(prefix.length + 5), entry)
  }
  const bytes = await source.read(pickle.byteOffset, pickle.byteLength)
  const { value, foreign } = readPickle(path, bytes, {
    constructors: torchConstructors,
    persistentLoad: (id, context) => {
      const storage = loadTorchStorage(id, context)
      checkStorage(path, storage, storages)
      return storage
    },
  })
  checkOneTypePerStorage(path, value)
  return { root: value, foreign, storages }
}

/** The one folder at the top of the archive, with a slash. */
function archiveFolder(path: string, entries: ReadonlyMap<string, StoredZipEntry>): string {
  const [pickle, ...others] = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name))
  if (pickle === undefined || others.length > 0) {
    const arrays = [...entries.keys()].some((name) => name.endsWith('.npy'))
    const what = arrays ? 'a NumPy .npz archive' : `a zip archive of ${entries.size} entries without one`
    const found = others.length > 0 ? `${others.length + 1} of them` : what
    throw new CheckpointError(path, `expected a PyTorch file with one folder that holds data.pkl, found ${found}`)
  }
  const prefix = pickle.slice(0, -'data.pkl'.length)
  if (entries.has(`${prefix}constants.pkl`)) {
    const found = 'a TorchScript program; save the state_dict() of the model in Python instead'
    throw new CheckpointError(path, `expected a PyTorch file of tensors, found ${found}`)
  }
  return prefix
}

/** A storage that claims to be larger than its entry has been used to read and write foreign memory (CVE-2026-24747). */
function checkStorage(path: string, storage: TorchStorage, entries: ReadonlyMap<string, StoredZipEntry>): void {
  const expected = storage.elementCount * storageElementBytes(storage)
  const found = entries.get(storage.key)?.byteLength ?? 0
  if (expected !== found) {
    const entry = entries.has(storage.key) ? `${found} bytes` : 'no such entry'
    const message = `${storage.describe()}: expected ${expected} bytes in data/${storage.key}, found ${entry}; the file is damaged`
    throw new CheckpointError(path, message)
  }
}

/** One storage has one type and size wherever it is mentioned. */
function checkOneTypePerStorage(path: string, root: PickleValue): void {
  const first = new Map<string, TorchStorage>()
  for (const value of walkPickle(root)) {
    const storage = value instanceof TorchTensor ? value.storage : value instanceof TorchStorage ? value : undefined
    if (storage === undefined) continue
    const other = first.get(storage.key) ?? storage
    first.set(storage.key, other)
    if (other.describe() !== storage.describe()) {
      const message = `expected one description of a storage, found ${other.describe()} and ${storage.describe()}`
      throw new CheckpointError(path, `${message}; the file is damaged`)
    }
  }
}
