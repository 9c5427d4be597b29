import { describe, expect, it } from 'vitest'
import { filesUnder, textOf } from './files.ts'

const folders = ['lib', 'native', 'test', 'scripts', 'benchmarks', 'examples']
const sourceFile = /\.(ts|mjs|cjs|js|cpp|h|cu|cuh|py)$/
const readableLines = 400
const mostLines = 600

/** Files that may pass the limit, each with the reason. */
const longFiles: Readonly<Record<string, string>> = {}

const sizes = folders
  .flatMap((folder) => filesUnder(folder, (path) => sourceFile.test(path) && !path.startsWith('test/fixtures/')))
  .map((path) => ({ path, lines: textOf(path).split('\n').length - 1 }))

describe('source files', () => {
  it(`have ${mostLines} lines at most`, () => {
    expect(sizes.length).toBeGreaterThan(100)
    const long = sizes.filter(({ path, lines }) => lines > mostLines && !(path in longFiles))
    expect(long).toEqual([])
    const wide = sizes.filter(({ lines }) => lines > readableLines)
    if (wide.length > 0)
      console.warn(`over ${readableLines} lines:\n${wide.map(({ path, lines }) => `  ${lines} ${path}`).join('\n')}`)
  })

  it('are excused from the limit only where they pass it', () => {
    for (const path of Object.keys(longFiles))
      expect(sizes.find((size) => size.path === path)?.lines ?? 0, path).toBeGreaterThan(mostLines)
  })
})
