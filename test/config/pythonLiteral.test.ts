import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type PythonLiteral, readPythonLiteral } from '../../lib/config/pythonLiteral.ts'

describe('readPythonLiteral', () => {
  it.each<[string, PythonLiteral, string]>([
    ['1', 1, '1'],
    [' 0.01 ', 0.01, '0.01'],
    ['.9', 0.9, '0.9'],
    ['1.', 1, '1.0'],
    ['1e-3', 0.001, '0.001'],
    ['1E5', 100000, '100000.0'],
    ['1e-5', 1e-5, '1e-05'],
    ['1_000', 1000, '1000'],
    ['1_0.5_0e1_0', 10.5e10, '105000000000.0'],
    ['00', 0, '0'],
    ['01.5', 1.5, '1.5'],
    ['0x1F', 31, '31'],
    ['0b101', 5, '5'],
    ['0o17', 15, '15'],
    ['-2', -2, '-2'],
    ['- 2.5', -2.5, '-2.5'],
    ['-0', -0, '0'],
    ['-0.', -0, '-0.0'],
    ['+3', 3, '3'],
    ['1e999', Number.POSITIVE_INFINITY, 'inf'],
    ['True', true, 'True'],
    ['False', false, 'False'],
    ['None', null, 'None'],
    ["'cos'", 'cos', 'cos'],
    ['"a\'b"', "a'b", "a'b"],
    [String.raw`'\x41\u00e9\n\'\101\q'`, "Aé\n'A\\q", "Aé\n'A\\q"],
    [String.raw`r'\n'`, '\\n', '\\n'],
    ['.9,.999', [0.9, 0.999], '(0.9, 0.999)'],
    ['(1e-30, 1e-3)', [1e-30, 0.001], '(1e-30, 0.001)'],
    ['1,', [1], '(1,)'],
    ['(1)', 1, '1'],
    ['(1,)', [1], '(1,)'],
    ['()', [], '()'],
    ['[]', [], '[]'],
    ['[1, 2,]', [1, 2], '[1, 2]'],
    ['[(1, None), "x"], True', [[[1, null], 'x'], true], "([(1, None), 'x'], True)"],
    [`'it\\'s', 'a"b'`, ["it's", 'a"b'], `("it's", 'a"b')`],
  ])('reads %s', (source, value, text) => {
    expect(readPythonLiteral(source)).toEqual({ value, text })
  })

  it.each([
    ['', 'expected a value at character 1, found the end'],
    ['1 2', 'expected nothing more at character 3, found "2"'],
    ['.9,,.99', 'expected a value at character 4, found ","'],
    ['(1, 2', 'expected a comma or ")" at character 6, found the end'],
    ['(1]', 'expected a comma or ")" at character 3, found "]"'],
    ['1, 2)', 'expected a comma at character 5, found ")"'],
    ['1__0', 'expected a number at character 1, found "1__0"'],
    ['1_', 'expected a number at character 1, found "1_"'],
    ['_1', 'expected a value at character 1, found "_1"; a text needs quotes'],
    ['012', 'expected a number without leading zeros at character 1, found "012"'],
    ['1.2.3', 'expected a number at character 1, found "1.2.3"'],
    ['3j', 'expected a number at character 1, found "3j"'],
    ['--1', 'expected a number at character 2, found "-"'],
    ['-True', 'expected a number at character 2, found "T"'],
    ['true', 'expected a value at character 1, found "true"; Python writes True'],
    ['null', 'Python writes None'],
    ['inf', 'write 1e999 for infinity'],
    ['cos', `found "cos"; a text needs quotes: 'cos'`],
    ["'open", `expected a text that ends with ' at character 1, found "'"`],
    ["'\\xZ'", 'expected the digits of a character after the backslash at character 3'],
    ["b'x'", 'found "b"'],
    ['['.repeat(1e6), 'expected at most 100 brackets in each other at character 101'],
    ['{1: 2}', 'expected a value at character 1, found "{"'],
  ])('refuses %.30s', (source, message) => {
    expect(() => readPythonLiteral(source)).toThrow(message)
  })

  const json = fc.letrec<{ value: PythonLiteral }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constant(null),
      fc.boolean(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.integer(),
      fc.string(),
      fc.array(tie('value'), { maxLength: 4 }),
    ),
  })).value

  it('reads what JSON writes, with the words of Python', () => {
    fc.assert(
      fc.property(json, (value) => {
        const source = JSON.stringify(value, (_key, item) => item as unknown)
        const words = { true: 'True', false: 'False', null: 'None' } as const
        const python = source.replace(/"(?:[^"\\]|\\.)*"|true|false|null/g, (part) => words[part as 'true'] ?? part)
        expect(JSON.stringify(readPythonLiteral(python).value)).toBe(source)
      }),
    )
  })

  it('reads its own texts again', () => {
    fc.assert(
      fc.property(fc.array(json), (value) => {
        const source = `[${value.map((item) => JSON.stringify(item)).join(',')}]`
        const words = { true: 'True', false: 'False', null: 'None' } as const
        const python = source.replace(/"(?:[^"\\]|\\.)*"|true|false|null/g, (part) => words[part as 'true'] ?? part)
        const once = readPythonLiteral(python)
        expect(readPythonLiteral(once.text)).toEqual(once)
      }),
    )
  })

  it('throws nothing but its own error, whatever the text', () => {
    fc.assert(
      fc.property(fc.string(), (source) => {
        try {
          readPythonLiteral(source)
        } catch (error) {
          expect((error as Error).name).toBe('ConfigError')
        }
      }),
    )
  })
})
