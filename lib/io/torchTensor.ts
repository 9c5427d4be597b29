/** Tensors of a PyTorch file, as its pickle describes them, and the names that make them. */
import type { ConstructorContext, PickleConstructor, PickleConstructors } from './pickleConstructors.ts'
import {
  describePickleValue,
  PickleGlobal,
  PickleObject,
  PickleTuple,
  type PickleValue,
  StatefulMap,
} from './pickleValues.ts'
import { type FileDType, fileDTypeBytes } from './tensorBytes.ts'

/** A run of elements that tensors are views of. One entry of the archive. */
export class TorchStorage extends PickleObject {
  constructor(
    /** The entry's name under `data/`. */
    readonly key: string,
    /** PyTorch's name of the element type: `float16`; `uint8` with {@link untyped} storages. */
    readonly dtypeName: string,
    readonly elementCount: number,
    /** Counted in bytes; each tensor has its own type. */
    readonly untyped: boolean,
  ) {
    super()
  }
  describe(): string {
    return `storage ${this.key} of ${this.elementCount} ${this.dtypeName}`
  }
}

/** A view of a storage: what a tensor of the file looks like, without its values. */
export class TorchTensor extends PickleObject {
  constructor(
    /** PyTorch's name of the type: `bfloat16`. */
    readonly dtypeName: string,
    /** The type as other files name it; undefined for those this library cannot read (`float8_e4m3fn`, `complex64`). */
    readonly dtype: FileDType | undefined,
    /** Empty for a scalar. */
    readonly shape: readonly number[],
    /** Distance between neighbours on each axis, in elements. */
    readonly strides: readonly number[],
    /** Position of the first element in the storage, in elements. */
    readonly storageOffset: number,
    readonly storage: TorchStorage,
  ) {
    super()
  }
  /** Tensors of the same key share memory in Python. */
  get storageKey(): string {
    return this.storage.key
  }
  get elementCount(): number {
    return this.shape.reduce((product, size) => product * size, 1)
  }
  /** Whether its elements lie one after the other in row-major order. */
  get contiguous(): boolean {
    let expected = 1
    for (let axis = this.shape.length - 1; axis >= 0; axis--) {
      const size = this.shape[axis] as number
      if (size !== 1 && this.strides[axis] !== expected) return this.elementCount === 0
      expected *= size
    }
    return true
  }
  describe(): string {
    return `a ${this.dtypeName} tensor [${this.shape.join(', ')}]`
  }
}

interface TorchType {
  readonly name: string
  readonly bytes: number
  readonly dtype?: FileDType
}

function type(name: string, dtype: FileDType): TorchType {
  return { name, dtype, bytes: fileDTypeBytes[dtype] }
}

/** PyTorch's dtypes. Those without a type of ours are named when they are refused. */
const types: readonly TorchType[] = [
  type('float64', 'F64'),
  type('float32', 'F32'),
  type('float16', 'F16'),
  type('bfloat16', 'BF16'),
  type('int64', 'I64'),
  type('int32', 'I32'),
  type('int16', 'I16'),
  type('int8', 'I8'),
  type('uint64', 'U64'),
  type('uint32', 'U32'),
  type('uint16', 'U16'),
  type('uint8', 'U8'),
  type('bool', 'BOOL'),
  ...['e4m3fn', 'e5m2', 'e4m3fnuz', 'e5m2fnuz', 'e8m0fnu'].map((kind) => ({ name: `float8_${kind}`, bytes: 1 })),
  { name: 'float4_e2m1fn_x2', bytes: 1 },
  { name: 'complex32', bytes: 4 },
  { name: 'complex64', bytes: 8 },
  { name: 'complex128', bytes: 16 },
  ...['quint8', 'qint8', 'quint4x2', 'quint2x4'].map((name) => ({ name, bytes: 1 })),
  { name: 'qint32', bytes: 4 },
]

const typesByName = new Map(types.map((entry) => [entry.name, entry]))

/** The storage class of each type that PyTorch had before storages lost their types. */
export const storageClasses: ReadonlyMap<string, string> = new Map([
  ['DoubleStorage', 'float64'],
  ['FloatStorage', 'float32'],
  ['HalfStorage', 'float16'],
  ['BFloat16Storage', 'bfloat16'],
  ['LongStorage', 'int64'],
  ['IntStorage', 'int32'],
  ['ShortStorage', 'int16'],
  ['CharStorage', 'int8'],
  ['ByteStorage', 'uint8'],
  ['BoolStorage', 'bool'],
  ['ComplexFloatStorage', 'complex64'],
  ['ComplexDoubleStorage', 'complex128'],
  ['QUInt8Storage', 'quint8'],
  ['QInt8Storage', 'qint8'],
  ['QInt32Storage', 'qint32'],
  ['QUInt4x2Storage', 'quint4x2'],
  ['QUInt2x4Storage', 'quint2x4'],
])

/** PyTorch's name of a type of ours. */
export function torchDType(dtype: FileDType): string {
  return (types.find((entry) => entry.dtype === dtype) as TorchType).name
}

/** Most axes a tensor may have, as in PyTorch. */
const MAX_AXES = 64
/** A view that repeats elements may be larger than its storage up to this many bytes. */
const MAX_REPEATED_BYTES = 1 << 26

/**
 * The persistent id of a storage: `('storage', class, key, device, element count)`. Its size is compared with the archive
 * by the caller.
 */
export function loadTorchStorage(id: PickleValue, context: ConstructorContext): TorchStorage {
  const [kind, storageClass, key, , count] = id instanceof PickleTuple && id.items.length === 5 ? id.items : []
  if (kind !== 'storage' || !(storageClass instanceof PickleGlobal) || typeof key !== 'string' || !isCount(count)) {
    throw context.fail(`expected the id of a storage (a tuple of five), found ${describePickleValue(id)}`)
  }
  if (storageClass.path === 'torch.storage.UntypedStorage') return new TorchStorage(key, 'uint8', count, true)
  const known = /^torch(\.cuda)?$/.test(storageClass.module) ? storageClasses.get(storageClass.name) : undefined
  if (known === undefined) throw context.fail(`expected a storage class of PyTorch, found ${storageClass.path}`)
  return new TorchStorage(key, known, count, false)
}

/** Bytes of one element of a storage. */
export function storageElementBytes({ dtypeName }: TorchStorage): number {
  return (typesByName.get(dtypeName) as TorchType).bytes
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

/** `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...)`, with another type in `_v3`. */
function rebuild(args: readonly PickleValue[], context: ConstructorContext, dtypeName?: string): TorchTensor {
  const [storage, offset, size, stride] = args
  if (!(storage instanceof TorchStorage)) {
    throw context.fail(`expected a storage to make a tensor of, found ${describePickleValue(storage)}`)
  }
  const shape = countsOf(size)
  const strides = countsOf(stride)
  if (!isCount(offset) || shape === undefined || strides === undefined || shape.length !== strides.length) {
    const found = [offset, size, stride].map(describePickleValue).join(', ')
    throw context.fail(`expected an offset and as many sizes as strides, all 0 or more, found ${found}`)
  }
  if (storage.untyped && dtypeName === undefined) throw context.fail('expected a type for the bytes of the storage')
  const name = dtypeName ?? storage.dtypeName
  const known = typesByName.get(name)
  if (known === undefined) throw context.fail(`expected a dtype of PyTorch, found ${name}`)
  if (shape.length > MAX_AXES) throw context.fail(`expected at most ${MAX_AXES} axes, found ${shape.length}`)
  context.charge(1 + shape.length)
  const storageBytes = storage.elementCount * storageElementBytes(storage)
  checkView(shape, strides, offset, known.bytes, storageBytes, storage, context)
  return new TorchTensor(name, known.dtype, shape, strides, offset, storage)
}

/** The last element must lie in the storage. Sums and products stop before they lose exactness. */
function checkView(
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
  elementBytes: number,
  storageBytes: number,
  storage: TorchStorage,
  context: ConstructorContext,
): void {
  const view = `a view of shape [${shape.join(', ')}], strides [${strides.join(', ')}] and offset ${offset}`
  const outside = (): Error => context.fail(`expected a tensor inside of ${storage.describe()}, found ${view}`)
  if (!Number.isSafeInteger(storageBytes)) throw context.fail(`expected a storage, found ${storage.describe()}`)
  const capacity = storageBytes / elementBytes
  if (offset > capacity) throw outside()
  if (shape.includes(0)) {
    // No element, so no bounds; the sizes must multiply without loss all the same.
    if (shape.some((size) => size > capacity + MAX_REPEATED_BYTES)) throw outside()
    return
  }
  let last = offset
  let count = 1
  for (const [axis, size] of shape.entries()) {
    last += (size - 1) * (strides[axis] as number)
    count *= size
    if (!(last < capacity)) throw outside()
    if (!(count * elementBytes <= Math.max(storageBytes, MAX_REPEATED_BYTES))) throw outside()
  }
  if (!(last < capacity)) throw outside()
}

function countsOf(value: PickleValue | undefined): readonly number[] | undefined {
  const items = value instanceof PickleTuple ? value.items : value
  return Array.isArray(items) && items.every(isCount) ? (items as readonly number[]) : undefined
}

const rebuildTyped: PickleConstructor = (args, context) => {
  const dtype = args[6]
  if (!(dtype instanceof PickleGlobal) || dtype.module !== 'torch') {
    throw context.fail(`expected a dtype of PyTorch, found ${describePickleValue(dtype)}`)
  }
  return rebuild(args, context, dtype.name)
}

/** A parameter is its tensor: whether it is trained is for the reader to say. */
const rebuildParameter: PickleConstructor = ([tensor], context) => {
  if (!(tensor instanceof TorchTensor)) {
    throw context.fail(`expected a tensor to make a parameter of, found ${describePickleValue(tensor)}`)
  }
  return tensor
}

/** `_rebuild_from_type_v2(function, type, arguments, state)`: tensors with attributes, which are dropped. */
const rebuildFromType: PickleConstructor = ([callable, , args], context) => {
  if (callable === undefined || !(args instanceof PickleTuple)) throw context.fail('expected a function and a tuple')
  return context.construct(callable, args.items)
}

/** `torch.nn.ParameterDict`, as the first textual inversion program saved it: its entries are in its state. */
const parameterDictionary: PickleConstructor = () =>
  new StatefulMap((state) => {
    const parameters = state instanceof Map ? state.get('_parameters') : undefined
    return parameters instanceof Map ? parameters : new Map()
  })

const size: PickleConstructor = ([items], context) => {
  const counts = countsOf(items)
  if (counts === undefined) throw context.fail(`expected sizes, found ${describePickleValue(items)}`)
  context.charge(counts.length)
  return new PickleTuple(counts)
}

/** `torch.device('cuda', 0)` as the text `cuda:0`. */
const device: PickleConstructor = ([kind, index], context) => {
  if (typeof kind !== 'string') throw context.fail(`expected a device, found ${describePickleValue(kind)}`)
  return typeof index === 'number' ? `${kind}:${index}` : kind
}

/** What PyTorch's files are made of, by `module.name`. */
export const torchConstructors: PickleConstructors = new Map([
  ['torch._utils._rebuild_tensor', (args, context) => rebuild(args, context)],
  ['torch._utils._rebuild_tensor_v2', (args, context) => rebuild(args, context)],
  ['torch._utils._rebuild_tensor_v3', rebuildTyped],
  ['torch._utils._rebuild_parameter', rebuildParameter],
  ['torch._utils._rebuild_parameter_with_state', rebuildParameter],
  ['torch._tensor._rebuild_from_type_v2', rebuildFromType],
  ['torch.nn.modules.container.ParameterDict', parameterDictionary],
  ['torch.Size', size],
  ['torch.device', device],
  ['torch.Tensor', null],
  ['torch.nn.parameter.Parameter', null],
  ['torch.storage.UntypedStorage', null],
  ...types.map(({ name }): [string, null] => [`torch.${name}`, null]),
  ...[...storageClasses.keys()].flatMap((name): [string, null][] => [
    [`torch.${name}`, null],
    [`torch.cuda.${name}`, null],
  ]),
] satisfies [string, PickleConstructor | null][])
