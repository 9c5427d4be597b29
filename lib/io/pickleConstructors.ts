/** The names that the pickle reader knows beside those of PyTorch: plain containers of Python. */
import { PickleGlobal, PickleOpaque, PickleTuple, type PickleValue } from './pickleValues.ts'

/** What a constructor may do: take arguments apart and say what is wrong with them. */
export interface ConstructorContext {
  /** Makes the error that names the file, the byte and the opcode. */
  fail(problem: string): Error
  /** Counts work against the limits of the reader; throws when they are reached. */
  charge(units: number): void
  /** Applies another known name; an unknown one gives a placeholder. */
  construct(callable: PickleValue, args: readonly PickleValue[]): PickleValue
}

/** Makes a value from the arguments of a call in a pickle. Pure: data in, data out. */
export type PickleConstructor = (args: readonly PickleValue[], context: ConstructorContext) => PickleValue

/** By `module.name`. Null: a known name that is only ever mentioned, never applied. */
export type PickleConstructors = ReadonlyMap<string, PickleConstructor | null>

/** Whether Python would accept a value as a key of a dictionary or a member of a set. */
export function isHashable(value: PickleValue): boolean {
  return !(Array.isArray(value) || value instanceof Map || value instanceof Set)
}

function itemsOf(value: PickleValue | undefined, context: ConstructorContext): readonly PickleValue[] {
  if (value === undefined) return []
  const items = value instanceof PickleTuple ? value.items : value instanceof Set ? [...value] : value
  if (!Array.isArray(items)) throw context.fail('expected a list, tuple or set as the argument')
  context.charge(items.length)
  return items
}

const dictionary: PickleConstructor = ([content], context) => {
  const result = new Map<PickleValue, PickleValue>()
  if (content instanceof Map) {
    context.charge(content.size)
    for (const [key, value] of content) result.set(key, value)
    return result
  }
  for (const pair of itemsOf(content, context)) {
    const items = Array.isArray(pair) ? pair : pair instanceof PickleTuple ? pair.items : []
    const [key, value] = items
    if (items.length !== 2 || key === undefined || value === undefined || !isHashable(key)) {
      throw context.fail('expected pairs of a key and a value to make a dictionary of')
    }
    result.set(key, value)
  }
  return result
}

const set: PickleConstructor = ([content], context) => {
  const items = itemsOf(content, context)
  if (!items.every(isHashable)) throw context.fail('expected members that can be in a set, found a list, dict or set')
  return new Set(items)
}

/** `_codecs.encode(text, 'latin1')`: how protocol 2 spells bytes. */
const encode: PickleConstructor = ([text, encoding], context) => {
  if (typeof text !== 'string' || (encoding !== 'latin1' && encoding !== 'latin-1' && encoding !== 'utf-8')) {
    throw context.fail('expected a text and the encoding latin1 or utf-8')
  }
  context.charge(1 + text.length / 16)
  return new Uint8Array(Buffer.from(text, encoding === 'utf-8' ? 'utf8' : 'latin1'))
}

/** `bytes()`, `bytearray(data)`, `bytearray(text, encoding)`. */
const bytes: PickleConstructor = (args, context) => {
  const [content] = args
  if (content === undefined) return new Uint8Array(0)
  if (typeof content === 'string') return encode(args, context)
  if (!(content instanceof Uint8Array)) throw context.fail('expected bytes or a text with its encoding')
  context.charge(1 + content.byteLength / 16)
  return content.slice()
}

function opaque(module: string, name: string): PickleConstructor {
  return () => new PickleOpaque(module, name)
}

const containers: [string, PickleConstructor | null][] = [
  ['collections.OrderedDict', dictionary],
  ['collections.Counter', dictionary],
  // The factory of the missing values is the first argument; what there is arrives item by item.
  ['collections.defaultdict', ([, content], context) => dictionary(content === undefined ? [] : [content], context)],
  ['_codecs.encode', encode],
]

const builtins: [string, PickleConstructor | null][] = [
  ['set', set],
  ['frozenset', set],
  ['dict', dictionary],
  ['list', ([content], context) => [...itemsOf(content, context)]],
  ['tuple', ([content], context) => new PickleTuple([...itemsOf(content, context)])],
  ['bytearray', bytes],
  ['bytes', bytes],
  ['complex', opaque('builtins', 'complex')],
  ...['int', 'float', 'str', 'bool', 'object', 'slice', 'range'].map((name): [string, null] => [name, null]),
]

/** NumPy's scalars and arrays are harmless, but nothing here needs them: placeholders that raise no suspicion. */
const numpy: [string, PickleConstructor | null][] = [
  ...['numpy.core.multiarray', 'numpy._core.multiarray'].flatMap((module) =>
    ['scalar', '_reconstruct'].map((name): [string, PickleConstructor] => [`${module}.${name}`, opaque(module, name)]),
  ),
  ['numpy.dtype', opaque('numpy', 'dtype')],
  ['numpy.ndarray', null],
]

/** `_rebuild(copy of class, base, state)`: how protocols 0 and 1 make objects; only plain objects are made so. */
const reconstructor: PickleConstructor = ([type], context) => {
  if (!(type instanceof PickleGlobal)) throw context.fail('expected a class to make an object of')
  return context.construct(type, [])
}

export const pythonConstructors: PickleConstructors = new Map([
  ...containers,
  ...['builtins', '__builtin__'].flatMap((module) =>
    builtins.map(([name, make]): [string, PickleConstructor | null] => [`${module}.${name}`, make]),
  ),
  ...numpy,
  ['copyreg._reconstructor', reconstructor],
  ['copy_reg._reconstructor', reconstructor],
])
