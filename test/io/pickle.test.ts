import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type ReadPickleOptions, readPickle } from '../../lib/io/pickle.ts'
import { PickleGlobal, PickleOpaque, PickleTuple, type PickleValue, walkPickle } from '../../lib/io/pickleValues.ts'
import { type PickleWritable, writePickle } from '../../lib/io/pickleWriter.ts'
import { ArgumentError, CheckpointError } from '../../lib/util/errors.ts'

const tuple = (...items: PickleValue[]): PickleTuple => new PickleTuple(items)
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'))
/** Reads a pickle written as Latin-1 text: most opcodes are letters. */
const read = (text: string, options?: ReadPickleOptions): PickleValue =>
  readPickle('made.pkl', bytes(text), options).value

describe('readPickle', () => {
  it.each([0, 1, 2, 3, 4, 5])('reads what Python wrote with protocol %i', (protocol) => {
    const file = readFileSync(new URL(`../fixtures/torch_files/protocol${protocol}.pkl`, import.meta.url))
    const { value, foreign, byteLength } = readPickle('p.pkl', file)
    expect(byteLength).toBe(file.byteLength)
    expect(foreign).toEqual([])
    const map = value as Map<string, PickleValue>
    expect(map.get('ints')).toEqual([
      ...[0, 1, 255, 256, 65535, 65536, -1, -129, 2 ** 31, -(2 ** 31) - 1],
      ...[2n ** 53n, 2n ** 64n, -(2n ** 80n)],
    ])
    expect(map.get('floats')).toEqual(tuple(0.5, -1e300, Number.POSITIVE_INFINITY))
    expect(map.get('texts')).toEqual(['', 'grün \u{1f438}', "line\nend 'quoted' \\ \"", 'x'.repeat(300)])
    expect(map.get('bytes')).toEqual([bytes(''), bytes('\x00\xff\n'), bytes('ab')])
    expect(map.get('constants')).toEqual([null, true, false])
    expect(map.get('tuples')).toEqual([tuple(), tuple(1), tuple(1, 2), tuple(1, 2, 3), tuple(1, 2, 3, 4)])
    expect(map.get('set')).toEqual(new Set([1]))
    expect(map.get('frozen')).toEqual(new Set([2]))
    const nested = new Map([['nested', [[]]]])
    expect(map.get('dict')).toEqual(new Map<PickleValue, PickleValue>([...[[1, 'one'] as const], ['k', nested]]))
    expect(map.get('complex')).toEqual(new PickleOpaque('builtins', 'complex'))
    const [first, second] = map.get('shared') as PickleValue[]
    expect(first).toBe(second)
  })

  it('takes a command as data, and names it', () => {
    const { value, foreign } = readPickle('trap.pkl', bytes("cos\nsystem\n(S'echo run'\ntR."))
    expect(value).toEqual(new PickleOpaque('os', 'system'))
    expect(foreign).toEqual(['os.system'])
  })

  it('does not open a pickle inside of a pickle', () => {
    const inner = "cos\nsystem\n(S'echo run'\ntR."
    const outer = `c_pickle\nloads\n(U${String.fromCharCode(inner.length)}${inner}tR.`
    const { value, foreign } = readPickle('nested.pkl', bytes(outer))
    expect(value).toEqual(new PickleOpaque('_pickle', 'loads'))
    expect(foreign).toEqual(['_pickle.loads'])
  })

  it('lets placeholders take state, items and calls, and keeps none', () => {
    const { value, foreign } = readPickle('p.pkl', bytes('cx\nY\n)\x81}(U\x01aK\x01ub(K\x01K\x02e)R.'))
    expect(value).toEqual(new PickleOpaque('x', 'Y'))
    expect(foreign).toEqual(['x.Y'])
  })

  it('keeps names of the prototype chain as plain keys', () => {
    const map = read('}(U\x09__proto__}U\x0bconstructorK\x01u.') as Map<string, PickleValue>
    expect([...map.keys()]).toEqual(['__proto__', 'constructor'])
    expect(({} as Record<string, unknown>).constructor).toBe(Object)
    expect(readPickle('p', bytes('c__proto__\ntoString\n)R.')).foreign).toEqual(['__proto__.toString'])
  })

  it.each([
    ['an unknown opcode', '\xff', /byte 0 \(0xff\): expected an opcode/],
    ['an end without STOP', 'N', /byte 1 .*expected 1 more bytes, found 0/],
    ['an empty file', '', /expected 1 more bytes, found 0/],
    ['a protocol of the future', '\x80\x09N.', /\(PROTO\): expected a protocol up to 5, found 9/],
    ['STOP with nothing', '.', /one value at the end, found 0/],
    ['STOP with two values', 'NN.', /one value at the end, found 2/],
    ['STOP with an open mark', 'N(.', /found 1 and 1 open marks/],
    ['a text longer than the file', 'X\xff\xff\xff\x7fab.', /BINUNICODE.*expected 2147483647 more bytes, found 3/],
    ['a text of 2^63 bytes', '\x8d\0\0\0\0\0\0\0\x80.', /BINUNICODE8.*expected 9223372036854776000 more/],
    ['bytes longer than the file', 'B\xff\xff\xff\xffab.', /BINBYTES.*expected 4294967295 more/],
    ['a frame longer than the file', '\x80\x04\x95\xff\0\0\0\0\0\0\0N.', /frame of 255 bytes/],
    ['an integer of a megabyte', '\x8b\0\0\x10\0.', /at most 1024 bytes, found 1048576/],
    ['a decimal that is none', 'I1x\n.', /expected an integer.*found "1x"/],
    ['a decimal of 5,000 digits', `L${'9'.repeat(5000)}L\n.`, /at most 2400 digits/],
    ['a float that is none', 'F0x1\n.', /expected a number, found "0x1"/],
    ['a string without quotes', 'Sabc\n.', /string in quotes/],
    ['a line without an end', 'I12', /expected a line, found the end/],
    ['a memo entry that was not stored', 'h\x05.', /BINGET.*memo entry 5, found none/],
    ['a negative memo index', 'Np-1\n.', /memo index, found -1/],
    ['an item for a list', ']K\x01K\x02s.', /SETITEM.*a dictionary to fill, found a list/],
    ['an item for a number', 'K\x01K\x01K\x02s.', /SETITEM.*a dictionary to fill, found the number 1/],
    ['an item for a tuple', ')K\x01K\x02s.', /SETITEM.*found a tuple of 0/],
    ['an append to a dictionary', '}K\x01a.', /APPEND.*a list to append to, found a dictionary/],
    ['an append to a tuple', ')K\x01a.', /a list to append to, found a tuple/],
    ['a key that is a list', '}]K\x01s.', /expected a key, found a list/],
    ['a key without a value', '}(K\x01u.', /keys and values in pairs, found 1/],
    ['members for a list', '](K\x01\x90.', /ADDITEMS.*a set to add to, found a list/],
    ['a state for a number', 'K\x01}b.', /BUILD.*an object to give a state to/],
    ['an item from below the mark', '}K\x01(K\x02s.', /expected 2 values on the stack, found 1/],
    ['a tuple without a mark', 'K\x01t.', /expected a mark/],
    ['a pop from nothing', '0N.', /expected 1 values on the stack, found 0/],
    ['a call of a text', 'U\x01a)R.', /REDUCE.*the name of a class or function, found the text "a"/],
    ['a call without a tuple', 'ca\nb\n]R.', /expected a tuple, found a list/],
    ['names that are numbers', 'K\x01K\x02\x93.', /STACK_GLOBAL.*expected two texts/],
    ['a persistent id', 'K\x01Q.', /no reference to data outside/],
    ['an extension code', '\x82\x01.', /EXT1.*registered in a running Python/],
    ['a buffer outside of the file', '\x97.', /NEXT_BUFFER.*not in it/],
    ['a set of lists', 'cbuiltins\nset\n(](]etR.', /expected members|expected a mark|one value/],
    ['pairs that are none', 'ccollections\nOrderedDict\n(](K\x01etR.', /expected pairs of a key and a value/],
    ['an encoding that is a trick', 'c_codecs\nencode\n(U\x01aU\x03hextR.', /encoding latin1/],
    ['a list that holds itself', ']q\0h\0a.', /found a container that holds itself/],
  ])('refuses %s', (_what, text, message) => {
    expect(() => read(text)).toThrow(CheckpointError)
    expect(() => read(text)).toThrow(message)
    expect(() => read(text)).toThrow(/^made.pkl: /)
  })

  it('stops at its limits', () => {
    const limited = (text: string, limits: ReadPickleOptions['limits']): (() => unknown) => {
      return () => read(text, { limits: limits! })
    }
    expect(limited('N0'.repeat(50), { opcodes: 40 })).toThrow(/at most 40 opcodes/)
    expect(limited(']'.repeat(50), { objects: 40 })).toThrow(/at most 40 objects/)
    expect(limited('N'.repeat(50), { stack: 40 })).toThrow(/at most 40 values on the stack/)
    expect(limited('('.repeat(50), { stack: 40 })).toThrow(/at most 40 open marks/)
    const memo = Array.from({ length: 50 }, (_, i) => `p${i}\n`).join('')
    expect(limited(`N${memo}.`, { memo: 40 })).toThrow(/at most 40 memo entries/)
    expect(limited(`${']'.repeat(50)}${'a'.repeat(49)}.`, { nesting: 40 })).toThrow(/at most 40 containers.*found 50/)
    // A set made of a list again and again costs its size each time.
    const copies = `](${'N'.repeat(50)}eq\x000${'cbuiltins\nfrozenset\n(h\0tR0'.repeat(10)}N.`
    expect(limited(copies, { objects: 300 })).toThrow(/at most 300 objects and copied items/)
  })

  it('shares what a memo bomb repeats: memory and time follow the file, not what it would unfold to', () => {
    let text = ']q\0'
    for (let level = 1; level < 90; level++)
      text += `](${`h${String.fromCharCode(level - 1)}`.repeat(10)}eq${String.fromCharCode(level)}`
    const started = performance.now()
    // 89 lists stay below the last: their references are dropped from the stack, the last one is the value.
    const { value } = readPickle('bomb.pkl', bytes(`(${text}l.`))
    expect([...walkPickle(value)].length).toBeLessThan(200)
    expect(performance.now() - started).toBeLessThan(500)
  })
})

describe('writePickle', () => {
  it('is read back as it was', () => {
    const value = new Map<string, PickleWritable>([
      ['ints', [0, 255, 256, -1, 2 ** 31, -(2 ** 31), 2n ** 63n, -(2n ** 63n), 2n ** 70n, 127, 128, -128, -129]],
      ['floats', [0.5, -0, Number.NaN, Number.POSITIVE_INFINITY]],
      ['texts', ['', 'grün \u{1f438}', 'again', 'again', 'x'.repeat(70_000)]],
      ['constants', [null, true, false]],
      ['nested', [[], [[1]], new Map([[1, new Map([['a', 'b']])]])]],
      ['many', Array.from({ length: 400 }, (_, i) => `name ${i}`)],
    ])
    const { value: found, foreign } = readPickle('w.pkl', writePickle(value))
    expect(found).toEqual(value)
    expect(foreign).toEqual([])
  })

  it('refuses a value that holds itself and an integer beyond the format', () => {
    const list: PickleWritable[] = []
    list.push(list)
    expect(() => writePickle(list)).toThrow(ArgumentError)
    expect(() => writePickle(2n ** 2100n)).toThrow(/at most 255 bytes/)
  })

  it('writes names as names', () => {
    const written = writePickle({ writePickle: (writer) => writer.global('torch', 'float16') })
    expect(readPickle('w.pkl', written).value).toEqual(new PickleGlobal('torch', 'float16'))
  })
})
