/** What a pickle holds once it is read: data and names, nothing that could run. */

/** A value of a pickle. Integers are numbers where a double holds them exactly, otherwise bigints. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleTuple
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>
  | PickleObject

/** Values that are objects of a class of ours. */
export abstract class PickleObject {
  /** What it is, for messages. */
  abstract describe(): string
}

/** A Python tuple; lists are arrays. */
export class PickleTuple extends PickleObject {
  constructor(readonly items: readonly PickleValue[]) {
    super()
  }
  describe(): string {
    return `a tuple of ${this.items.length}`
  }
}

/** The name of a Python class or function. Nothing is looked up. */
export class PickleGlobal extends PickleObject {
  constructor(
    readonly module: string,
    readonly name: string,
  ) {
    super()
  }
  /** `module.name` */
  get path(): string {
    return `${this.module}.${this.name}`
  }
  describe(): string {
    return `the name ${this.path}`
  }
}

/** Stands where Python would have an object of a class that this reader does not know. Its state is not kept. */
export class PickleOpaque extends PickleObject {
  constructor(
    readonly module: string,
    readonly name: string,
  ) {
    super()
  }
  describe(): string {
    return `an object of ${this.module}.${this.name}`
  }
}

/** A dictionary whose entries come with the state of the object it stands for. */
export class StatefulMap extends Map<PickleValue, PickleValue> {
  readonly #entriesOf: (state: PickleValue) => ReadonlyMap<PickleValue, PickleValue>

  constructor(entriesOf: (state: PickleValue) => ReadonlyMap<PickleValue, PickleValue>) {
    super()
    this.#entriesOf = entriesOf
  }

  /** @returns how many entries it took */
  takeState(state: PickleValue): number {
    const entries = this.#entriesOf(state)
    for (const [key, value] of entries) this.set(key, value)
    return entries.size
  }
}

/** A value in a few words, for messages: its type, and its content where that is short. */
export function describePickleValue(value: PickleValue | undefined): string {
  if (value === null) return 'None'
  if (value === undefined) return 'nothing'
  if (value instanceof PickleObject) return value.describe()
  if (value instanceof Map) return `a dictionary of ${value.size}`
  if (value instanceof Set) return `a set of ${value.size}`
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (value instanceof Uint8Array) return `${value.byteLength} bytes`
  if (typeof value === 'string') {
    return value.length > 40 ? `the text ${JSON.stringify(value.slice(0, 40))}...` : `the text ${JSON.stringify(value)}`
  }
  return `${typeof value === 'boolean' ? 'the boolean' : 'the number'} ${value}`
}

/** The values a value holds directly: items of lists, tuples and sets, keys and values of dictionaries. */
export function* pickleChildren(value: PickleValue): Generator<PickleValue> {
  if (value instanceof PickleTuple) yield* value.items
  else if (Array.isArray(value) || value instanceof Set) yield* value
  else if (value instanceof Map) for (const [key, item] of value) yield* [key, item]
}

/** Every value reachable from `root`, `root` first. Shared ones come once, whatever the number of ways to them. */
export function* walkPickle(root: PickleValue): Generator<PickleValue> {
  const seen = new Set<PickleValue>()
  const open: PickleValue[] = [root]
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (typeof value === 'object' && value !== null) {
      if (seen.has(value)) continue
      seen.add(value)
      for (const child of pickleChildren(value)) open.push(child)
    }
    yield value
  }
}

/**
 * The greatest number of containers inside each other, counted in one pass however often parts are shared; Infinity when a
 * container holds itself.
 */
export function pickleNesting(root: PickleValue): number {
  const depths = new Map<PickleValue, number>()
  const open: { value: PickleValue; children: Generator<PickleValue>; depth: number }[] = []
  const enter = (value: PickleValue): number => {
    if (!(value instanceof PickleTuple || Array.isArray(value) || value instanceof Set || value instanceof Map))
      return 0
    const known = depths.get(value)
    if (known !== undefined) return known
    // Infinity until its depth is known: met again before that, it holds itself.
    depths.set(value, Number.POSITIVE_INFINITY)
    open.push({ value, children: pickleChildren(value), depth: 1 })
    return 0
  }
  let result = enter(root)
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const { done, value: child } = top.children.next()
    if (!done) {
      top.depth = Math.max(top.depth, 1 + enter(child))
      continue
    }
    open.pop()
    depths.set(top.value, top.depth)
    const parent = open.at(-1)
    if (parent === undefined) result = top.depth
    else parent.depth = Math.max(parent.depth, 1 + top.depth)
  }
  return result
}
