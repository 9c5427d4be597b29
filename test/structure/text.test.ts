import { describe, expect, it } from 'vitest'
import { filesUnder, textOf } from './files.ts'

const binary = /\.(png|jpe?g|webp|bmp|gif|br|gz|tgz|safetensors|node|bin|ico)$/
/** Written here in pieces, so that this file does not match itself. */
const forbidden = [
  {
    what: 'a path of one machine',
    pattern: new RegExp(`(?<![\\w.$})\\]*])/(?:${['work', 'root', 'home', 'Users'].join('|')})/[\\w.-]`),
  },
  { what: 'a path of one machine', pattern: /\b[A-Z]:\\+Users\\/ },
  {
    what: 'the host of a package registry',
    pattern: new RegExp(
      `${['registry', '(npmjs|yarnpkg|npmmirror)'].join('\\.')}|https?://[\\w.-]*(artifactory|verdaccio|nexus)`,
    ),
  },
  { what: 'a registry of one machine', pattern: new RegExp(`^\\s*(@[\\w-]+:)?${'registry'}\\s*=`, 'm') },
]
const texts = filesUnder('.').filter((path) => !binary.test(path) && path !== 'test/structure/text.test.ts')

describe('the text of the repository', () => {
  it('holds no path of a machine and no host of a registry', () => {
    expect(texts.length).toBeGreaterThan(200)
    const found: string[] = []
    for (const path of texts) {
      const text = textOf(path)
      for (const { what, pattern } of forbidden) {
        const match = pattern.exec(text)
        if (match) found.push(`${path}:${text.slice(0, match.index).split('\n').length}: ${what}: ${match[0]}`)
      }
    }
    expect(found).toEqual([])
  })

  it('locks packages without saying where they were downloaded', () => {
    const lock = JSON.parse(textOf('package-lock.json')) as {
      packages: Record<string, { resolved?: string; integrity?: string }>
    }
    const packages = Object.entries(lock.packages).filter(([name]) => name !== '')
    expect(packages.length).toBeGreaterThan(20)
    expect(packages.filter(([, entry]) => entry.resolved !== undefined).map(([name]) => name)).toEqual([])
    expect(packages.filter(([, entry]) => entry.integrity === undefined).map(([name]) => name)).toEqual([])
  })

  it('leaves nothing for later', () => {
    const mark = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\\b`)
    const code = texts.filter((path) => /^(lib|native|scripts|benchmarks|examples)\//.test(path))
    expect(code.filter((path) => mark.test(textOf(path)))).toEqual([])
  })
})
