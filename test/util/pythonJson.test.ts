import { describe, expect, it } from 'vitest'
import { PythonFloat, type PythonJson, pythonJson } from '../../lib/util/pythonJson.ts'

describe('pythonJson', () => {
  it.each<[string, PythonJson]>([
    ['[]', []],
    ['{}', new Map()],
    ['[\n  1,\n  1.0,\n  [],\n  {}\n]', [1, new PythonFloat(1), [], {}]],
    [
      '{\n  "b": {\n    "1": [\n      null\n    ]\n  },\n  "a": true\n}',
      new Map<string, PythonJson>([
        ['b', { 1: [null] }],
        ['a', true],
      ]),
    ],
  ])('breaks lines as json.dumps(indent=2) does: %j', (text, value) => {
    expect(pythonJson(value, { indent: 2 })).toBe(text)
  })

  it('escapes what is not printable ASCII, the delete character too', () => {
    expect(pythonJson('a/\x7f\x80\u2028\ud83d\ude00\ud800\n\t\b\f\r"\\\0')).toBe(
      '"a/\\u007f\\u0080\\u2028\\ud83d\\ude00\\ud800\\n\\t\\b\\f\\r\\"\\\\\\u0000"',
    )
  })

  it("keeps ints of any length and Python's spelling of floats", () => {
    const values = [2 ** 53, 123456789012345678901234567890n, 0.5, new PythonFloat(1e22), new PythonFloat(Number.NaN)]
    expect(pythonJson(values)).toBe('[9007199254740992, 123456789012345678901234567890, 0.5, 1e+22, NaN]')
  })
})
