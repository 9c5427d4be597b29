/**
 * Reads pickles as data. There is nothing here that could call, import or look up anything: names become
 * {@link PickleGlobal}, what a known name builds comes from a table of pure functions, and everything else becomes an inert
 * {@link PickleOpaque}. Opcodes as in Python's `pickletools`, protocols 0 to 5.
 */
import { CheckpointError } from '../util/errors.ts'
import {
  type ConstructorContext,
  isHashable,
  type PickleConstructors,
  pythonConstructors,
} from './pickleConstructors.ts'
import { PickleCursor } from './pickleCursor.ts'
import { pickleOpcodes } from './pickleOpcodes.ts'
import {
  describePickleValue,
  PickleGlobal,
  PickleObject,
  PickleOpaque,
  PickleTuple,
  type PickleValue,
  pickleNesting,
  StatefulMap,
} from './pickleValues.ts'

export interface ReadPickleOptions {
  /** Names known beside Python's containers. Default: none. */
  readonly constructors?: PickleConstructors
  /** Turns a persistent id (how PyTorch refers to storages) into a value. Default: such ids are refused. */
  readonly persistentLoad?: (id: PickleValue, context: ConstructorContext) => PickleValue
  /** Smaller or larger limits than the default ones. */
  readonly limits?: Partial<PickleLimits>
}

/** What a pickle may cost. With the defaults the values take at most about 500 MB, and a few seconds. */
export interface PickleLimits {
  /** Opcodes. Default: 4,000,000; a Stable Diffusion checkpoint has about 30,000. */
  readonly opcodes: number
  /** Containers and objects made, and items copied. Default: 1,000,000. */
  readonly objects: number
  /** Values waiting on the stack, and open marks. Default: 100,000. */
  readonly stack: number
  /** Entries of the memo. Default: 1,000,000. */
  readonly memo: number
  /** Containers inside each other in the result. Default: 100. */
  readonly nesting: number
}

const DEFAULT_LIMITS: PickleLimits = {
  opcodes: 4_000_000,
  objects: 1_000_000,
  stack: 100_000,
  memo: 1_000_000,
  nesting: 100,
}

export interface PickleResult {
  readonly value: PickleValue
  /** `module.name` of every name that is not known, in the order of their first appearance. */
  readonly foreign: readonly string[]
  /** Bytes read: a file may hold several pickles, one after the other. */
  readonly byteLength: number
}

/**
 * Reads one pickle from the start of `bytes`.
 *
 * @param path named in errors
 * @throws CheckpointError naming the file, the byte and the opcode: for damage, for a limit that is reached, and for a value
 *   that holds itself or is nested more deeply than the limit
 */
export function readPickle(path: string, bytes: Uint8Array, options: ReadPickleOptions = {}): PickleResult {
  const machine = new PickleMachine(path, bytes, options)
  const value = machine.run()
  const nesting = pickleNesting(value)
  if (nesting > machine.limits.nesting) {
    const found = Number.isFinite(nesting) ? `${nesting} of them` : 'a container that holds itself'
    const message = `expected at most ${machine.limits.nesting} containers inside each other in the pickle, found ${found}`
    throw new CheckpointError(path, message)
  }
  return { value, foreign: [...machine.foreign], byteLength: machine.cursor.position }
}

/** The stack machine that pickles are programs for. */
export class PickleMachine implements ConstructorContext {
  readonly cursor: PickleCursor
  readonly limits: PickleLimits
  readonly foreign = new Set<string>()
  readonly #constructors: PickleConstructors
  readonly #persistentLoad: ReadPickleOptions['persistentLoad']
  readonly #memo = new Map<number, PickleValue>()
  readonly #stack: PickleValue[] = []
  /** Lengths of the stack at the open marks. */
  readonly #marks: number[] = []
  #objects = 0
  #done = false

  constructor(path: string, bytes: Uint8Array, options: ReadPickleOptions) {
    this.cursor = new PickleCursor(path, bytes)
    this.limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#constructors = new Map([...pythonConstructors, ...(options.constructors ?? [])])
    this.#persistentLoad = options.persistentLoad
  }

  run(): PickleValue {
    const { cursor, limits } = this
    for (let count = 0; !this.#done; count++) {
      cursor.opcodeStart = cursor.position
      cursor.opcodeName = 'the next opcode'
      const code = cursor.uint8()
      const opcode = pickleOpcodes.get(code)
      cursor.opcodeName = opcode?.name ?? `0x${code.toString(16).padStart(2, '0')}`
      if (opcode === undefined) throw this.fail('expected an opcode of pickle protocols 0 to 5; the file is damaged')
      if (count >= limits.opcodes) throw this.fail(`expected at most ${limits.opcodes} opcodes, found more`)
      opcode.run(this)
    }
    if (this.#stack.length !== 1 || this.#marks.length !== 0) {
      throw this.fail(`expected one value at the end, found ${this.#stack.length} and ${this.#marks.length} open marks`)
    }
    return this.#stack[0] as PickleValue
  }

  stop(): void {
    this.#done = true
  }

  fail(problem: string): CheckpointError {
    return this.cursor.fail(problem)
  }

  charge(units: number): void {
    this.#objects += units
    if (this.#objects > this.limits.objects) {
      throw this.fail(`expected at most ${this.limits.objects} objects and copied items, found more`)
    }
  }

  push(value: PickleValue): void {
    if (this.#stack.length + this.#marks.length >= this.limits.stack) {
      throw this.fail(`expected at most ${this.limits.stack} values on the stack, found more`)
    }
    this.#stack.push(value)
  }

  /** Pushes a new container or object. */
  pushNew(value: PickleValue): void {
    this.charge(1)
    this.push(value)
  }

  /** The top of the stack, above the last mark. */
  top(): PickleValue {
    this.#needValues(1)
    return this.#stack[this.#stack.length - 1] as PickleValue
  }

  pop(): PickleValue {
    this.#needValues(1)
    return this.#stack.pop() as PickleValue
  }

  popMany(count: number): PickleValue[] {
    this.#needValues(count)
    return this.#stack.splice(this.#stack.length - count, count)
  }

  mark(): void {
    if (this.#stack.length + this.#marks.length >= this.limits.stack) {
      throw this.fail(`expected at most ${this.limits.stack} open marks, found more`)
    }
    this.#marks.push(this.#stack.length)
  }

  /** The values above the last mark; the mark goes too. */
  popToMark(): PickleValue[] {
    const start = this.#marks.pop()
    if (start === undefined) throw this.fail('expected a mark on the stack, found none; the file is damaged')
    return this.#stack.splice(start)
  }

  /** POP takes a mark when nothing lies above it. */
  popValueOrMark(): void {
    if (this.#marks.length > 0 && this.#marks.at(-1) === this.#stack.length) this.#marks.pop()
    else this.pop()
  }

  remember(index: number | bigint): void {
    if (typeof index === 'bigint' || index < 0) throw this.fail(`expected a memo index, found ${index}`)
    if (this.#memo.size >= this.limits.memo && !this.#memo.has(index)) {
      throw this.fail(`expected at most ${this.limits.memo} memo entries, found more`)
    }
    this.#memo.set(index, this.top())
  }

  rememberNext(): void {
    this.remember(this.#memo.size)
  }

  recall(index: number | bigint): void {
    const value = typeof index === 'number' ? this.#memo.get(index) : undefined
    if (value === undefined) throw this.fail(`expected memo entry ${index}, found none; the file is damaged`)
    this.push(value)
  }

  pushGlobal(module: PickleValue, name: PickleValue): void {
    if (typeof module !== 'string' || typeof name !== 'string') {
      throw this.fail(`expected two texts, found ${describePickleValue(module)} and ${describePickleValue(name)}`)
    }
    const global = new PickleGlobal(module, name)
    if (!this.#constructors.has(global.path)) this.foreign.add(global.path)
    this.pushNew(global)
  }

  construct(callable: PickleValue, args: readonly PickleValue[]): PickleValue {
    this.charge(1)
    if (callable instanceof PickleOpaque) return callable
    if (!(callable instanceof PickleGlobal)) {
      throw this.fail(`expected the name of a class or function, found ${describePickleValue(callable)}`)
    }
    const make = this.#constructors.get(callable.path)
    return make ? make(args, this) : new PickleOpaque(callable.module, callable.name)
  }

  /** REDUCE and its kin: the arguments are a tuple. */
  apply(callable: PickleValue, args: PickleValue): void {
    if (!(args instanceof PickleTuple)) throw this.fail(`expected a tuple, found ${describePickleValue(args)}`)
    this.push(this.construct(callable, args.items))
  }

  persistent(id: PickleValue): void {
    if (this.#persistentLoad === undefined) throw this.fail('expected no reference to data outside of the pickle')
    this.pushNew(this.#persistentLoad(id, this))
  }

  /** Adds to the list on top; a placeholder takes anything and keeps nothing. */
  append(items: readonly PickleValue[]): void {
    const list = this.top()
    if (list instanceof PickleOpaque) return
    if (!Array.isArray(list)) throw this.fail(`expected a list to append to, found ${describePickleValue(list)}`)
    for (const item of items) list.push(item)
  }

  /** Adds keys and values, in turns, to the dictionary on top. */
  setItems(items: readonly PickleValue[]): void {
    const target = this.top()
    if (items.length % 2 !== 0) throw this.fail(`expected keys and values in pairs, found ${items.length} values`)
    if (target instanceof PickleOpaque) return
    if (!(target instanceof Map)) throw this.fail(`expected a dictionary to fill, found ${describePickleValue(target)}`)
    for (let index = 0; index < items.length; index += 2) {
      target.set(this.#hashable(items[index] as PickleValue), items[index + 1] as PickleValue)
    }
  }

  addItems(items: readonly PickleValue[]): void {
    const target = this.top()
    if (target instanceof PickleOpaque) return
    if (!(target instanceof Set)) throw this.fail(`expected a set to add to, found ${describePickleValue(target)}`)
    for (const item of items) target.add(this.#hashable(item))
  }

  /** BUILD sets attributes of an object in Python; containers and placeholders here have none, so they are dropped. */
  build(): void {
    const state = this.pop()
    const target = this.top()
    if (target instanceof StatefulMap) this.charge(target.takeState(state))
    if (!(target instanceof PickleObject || target instanceof Map || target instanceof Set || Array.isArray(target))) {
      throw this.fail(`expected an object to give a state to, found ${describePickleValue(target)}`)
    }
  }

  #hashable(value: PickleValue): PickleValue {
    if (!isHashable(value)) throw this.fail(`expected a key, found ${describePickleValue(value)}`)
    return value
  }

  #needValues(count: number): void {
    const found = this.#stack.length - (this.#marks.at(-1) ?? 0)
    if (found < count) throw this.fail(`expected ${count} values on the stack, found ${found}; the file is damaged`)
  }
}
