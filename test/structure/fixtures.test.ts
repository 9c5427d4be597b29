import { posix } from 'node:path'
import { describe, expect, it } from 'vitest'
import { bytesOf, exists, filesUnder, textOf } from './files.ts'

const fixtures = filesUnder('test/fixtures').filter((path) => posix.basename(path) !== 'README.md')
const scripts = filesUnder('scripts/reference', (path) => path.endsWith('.py'))

describe('fixtures', () => {
  it('come from a script named after their folder', () => {
    expect(fixtures.length).toBeGreaterThan(10)
    const orphans = fixtures.filter((path) => !exists(`scripts/reference/${path.split('/')[2]}.py`))
    expect(orphans).toEqual([])
  })

  it('have each of their scripts described', () => {
    expect(scripts.length).toBeGreaterThan(3)
    const readme = textOf('scripts/reference/README.md')
    expect(scripts.filter((path) => !readme.includes(`\`${posix.basename(path)}\``))).toEqual([])
  })

  it('are small: 1 MB each, 20 MB in all', () => {
    expect(fixtures.filter((path) => bytesOf(path) > 2 ** 20)).toEqual([])
    expect(fixtures.reduce((sum, path) => sum + bytesOf(path), 0)).toBeLessThan(20 * 2 ** 20)
  })
})
