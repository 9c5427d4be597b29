/** The opcodes of pickle protocols 0 to 5, as operations on the reader's stack. */
import type { PickleMachine } from './pickle.ts'
import { PickleTuple, type PickleValue } from './pickleValues.ts'

/** One opcode: its name in Python's `pickletools`, and what it does. */
export interface PickleOpcode {
  readonly name: string
  readonly run: (machine: PickleMachine) => void
}

const HIGHEST_PROTOCOL = 5

function text(machine: PickleMachine): string {
  return machine.cursor.line(machine.cursor.bytes.byteLength)
}

/** `I01\n` and `I00\n` are booleans. */
function textInteger(machine: PickleMachine): PickleValue {
  const line = machine.cursor.line()
  if (line === '01' || line === '00') return line === '01'
  return machine.cursor.decimal(line)
}

function textFloat(machine: PickleMachine): number {
  const line = machine.cursor.line().trim()
  const special: Readonly<Record<string, number>> = { inf: Infinity, '-inf': -Infinity, nan: NaN }
  if (Object.hasOwn(special, line)) return special[line] as number
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(line)) throw machine.fail(`expected a number, found "${line}"`)
  return Number(line)
}

/** A quoted string as Python 2 prints it. */
function quotedString(machine: PickleMachine): string {
  const line = text(machine).trim()
  const quote = line[0]
  if (line.length < 2 || (quote !== "'" && quote !== '"') || line.at(-1) !== quote) {
    throw machine.fail('expected a string in quotes')
  }
  const plain: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b', f: '\f', v: '\v' }
  return line.slice(1, -1).replace(/\\(x[\da-f]{2}|[0-7]{1,3}|.)/gis, (_, code: string) => {
    if (/^x./i.test(code)) return String.fromCharCode(Number.parseInt(code.slice(1), 16))
    if (/^[0-7]/.test(code)) return String.fromCharCode(Number.parseInt(code, 8) & 0xff)
    return plain[code] ?? code
  })
}

/** Python's "raw-unicode-escape": Latin-1, with `\uXXXX` and `\UXXXXXXXX` for the rest. */
function escapedUnicode(machine: PickleMachine): string {
  return text(machine).replace(/\\u([\da-fA-F]{4})|\\U([\da-fA-F]{8})/g, (whole, short?: string, long?: string) => {
    const code = Number.parseInt(short ?? long ?? '', 16)
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole
  })
}

function tupleOf(count: number): (machine: PickleMachine) => void {
  return (machine) => machine.pushNew(new PickleTuple(machine.popMany(count)))
}

function refuse(why: string): (machine: PickleMachine) => void {
  return (machine) => {
    throw machine.fail(why)
  }
}

/** Makes what `[class, ...arguments]` above the mark says (protocol 1), or a class named in the text (protocol 0). */
function instance(machine: PickleMachine, callable: PickleValue, args: readonly PickleValue[]): void {
  machine.push(machine.construct(callable, args))
}

const bytesOf = (machine: PickleMachine, length: number): Uint8Array => new Uint8Array(machine.cursor.take(length))

const table: [code: string | number, name: string, run: (machine: PickleMachine) => void][] = [
  ['.', 'STOP', (m) => m.stop()],
  [
    0x80,
    'PROTO',
    (m) => {
      const version = m.cursor.uint8()
      if (version > HIGHEST_PROTOCOL) throw m.fail(`expected a protocol up to ${HIGHEST_PROTOCOL}, found ${version}`)
    },
  ],
  [
    0x95,
    'FRAME',
    (m) => {
      const length = m.cursor.uint64()
      const left = m.cursor.bytes.byteLength - m.cursor.position
      if (length > left) throw m.fail(`expected a frame of ${length} bytes, found ${left}; the file is cut short`)
    },
  ],

  ['N', 'NONE', (m) => m.push(null)],
  [0x88, 'NEWTRUE', (m) => m.push(true)],
  [0x89, 'NEWFALSE', (m) => m.push(false)],
  ['I', 'INT', (m) => m.push(textInteger(m))],
  ['J', 'BININT', (m) => m.push(m.cursor.int32())],
  ['K', 'BININT1', (m) => m.push(m.cursor.uint8())],
  ['M', 'BININT2', (m) => m.push(m.cursor.uint16())],
  ['L', 'LONG', (m) => m.push(m.cursor.decimal(m.cursor.line().replace(/L$/, '')))],
  [0x8a, 'LONG1', (m) => m.push(m.cursor.integer(m.cursor.uint8()))],
  [0x8b, 'LONG4', (m) => m.push(m.cursor.integer(m.cursor.uint32()))],
  ['F', 'FLOAT', (m) => m.push(textFloat(m))],
  ['G', 'BINFLOAT', (m) => m.push(m.cursor.float64())],

  ['S', 'STRING', (m) => m.push(quotedString(m))],
  ['T', 'BINSTRING', (m) => m.push(m.cursor.oldString(m.cursor.uint32()))],
  ['U', 'SHORT_BINSTRING', (m) => m.push(m.cursor.oldString(m.cursor.uint8()))],
  ['V', 'UNICODE', (m) => m.push(escapedUnicode(m))],
  ['X', 'BINUNICODE', (m) => m.push(m.cursor.utf8(m.cursor.uint32()))],
  [0x8c, 'SHORT_BINUNICODE', (m) => m.push(m.cursor.utf8(m.cursor.uint8()))],
  [0x8d, 'BINUNICODE8', (m) => m.push(m.cursor.utf8(m.cursor.uint64()))],
  ['B', 'BINBYTES', (m) => m.pushNew(bytesOf(m, m.cursor.uint32()))],
  ['C', 'SHORT_BINBYTES', (m) => m.pushNew(bytesOf(m, m.cursor.uint8()))],
  [0x8e, 'BINBYTES8', (m) => m.pushNew(bytesOf(m, m.cursor.uint64()))],
  [0x96, 'BYTEARRAY8', (m) => m.pushNew(bytesOf(m, m.cursor.uint64()))],

  ['(', 'MARK', (m) => m.mark()],
  ['0', 'POP', (m) => m.popValueOrMark()],
  ['1', 'POP_MARK', (m) => void m.popToMark()],
  ['2', 'DUP', (m) => m.push(m.top())],
  [']', 'EMPTY_LIST', (m) => m.pushNew([])],
  [')', 'EMPTY_TUPLE', tupleOf(0)],
  ['}', 'EMPTY_DICT', (m) => m.pushNew(new Map())],
  [0x8f, 'EMPTY_SET', (m) => m.pushNew(new Set())],
  ['l', 'LIST', (m) => m.pushNew(m.popToMark())],
  ['t', 'TUPLE', (m) => m.pushNew(new PickleTuple(m.popToMark()))],
  [0x85, 'TUPLE1', tupleOf(1)],
  [0x86, 'TUPLE2', tupleOf(2)],
  [0x87, 'TUPLE3', tupleOf(3)],
  [
    'd',
    'DICT',
    (m) => {
      const items = m.popToMark()
      m.pushNew(new Map())
      m.setItems(items)
    },
  ],
  [
    0x91,
    'FROZENSET',
    (m) => {
      const items = m.popToMark()
      m.pushNew(new Set())
      m.addItems(items)
    },
  ],
  ['a', 'APPEND', (m) => m.append([m.pop()])],
  ['e', 'APPENDS', (m) => m.append(m.popToMark())],
  ['s', 'SETITEM', (m) => m.setItems(m.popMany(2))],
  ['u', 'SETITEMS', (m) => m.setItems(m.popToMark())],
  [0x90, 'ADDITEMS', (m) => m.addItems(m.popToMark())],

  ['p', 'PUT', (m) => m.remember(m.cursor.decimal(m.cursor.line()))],
  ['q', 'BINPUT', (m) => m.remember(m.cursor.uint8())],
  ['r', 'LONG_BINPUT', (m) => m.remember(m.cursor.uint32())],
  [0x94, 'MEMOIZE', (m) => m.rememberNext()],
  ['g', 'GET', (m) => m.recall(m.cursor.decimal(m.cursor.line()))],
  ['h', 'BINGET', (m) => m.recall(m.cursor.uint8())],
  ['j', 'LONG_BINGET', (m) => m.recall(m.cursor.uint32())],

  ['c', 'GLOBAL', (m) => m.pushGlobal(m.cursor.line(), m.cursor.line())],
  [
    0x93,
    'STACK_GLOBAL',
    (m) => {
      const [module, name] = m.popMany(2) as [PickleValue, PickleValue]
      m.pushGlobal(module, name)
    },
  ],
  [
    'R',
    'REDUCE',
    (m) => {
      const [callable, args] = m.popMany(2) as [PickleValue, PickleValue]
      m.apply(callable, args)
    },
  ],
  [
    0x81,
    'NEWOBJ',
    (m) => {
      const [callable, args] = m.popMany(2) as [PickleValue, PickleValue]
      m.apply(callable, args)
    },
  ],
  [
    0x92,
    'NEWOBJ_EX',
    (m) => {
      const [callable, args] = m.popMany(3) as [PickleValue, PickleValue, PickleValue]
      m.apply(callable, args)
    },
  ],
  ['b', 'BUILD', (m) => m.build()],
  [
    'i',
    'INST',
    (m) => {
      m.pushGlobal(m.cursor.line(), m.cursor.line())
      const callable = m.pop()
      instance(m, callable, m.popToMark())
    },
  ],
  [
    'o',
    'OBJ',
    (m) => {
      const [callable, ...args] = m.popToMark()
      if (callable === undefined) throw m.fail('expected a class above the mark, found nothing')
      instance(m, callable, args)
    },
  ],
  ['P', 'PERSID', (m) => m.persistent(m.cursor.line())],
  ['Q', 'BINPERSID', (m) => m.persistent(m.pop())],

  [0x82, 'EXT1', refuse('the file uses names registered in a running Python, which only that program knows')],
  [0x83, 'EXT2', refuse('the file uses names registered in a running Python, which only that program knows')],
  [0x84, 'EXT4', refuse('the file uses names registered in a running Python, which only that program knows')],
  [0x97, 'NEXT_BUFFER', refuse('the file refers to buffers that are not in it')],
  [0x98, 'READONLY_BUFFER', refuse('the file refers to buffers that are not in it')],
]

export const pickleOpcodes: ReadonlyMap<number, PickleOpcode> = new Map(
  table.map(([code, name, run]) => [typeof code === 'string' ? code.charCodeAt(0) : code, { name, run }]),
)
