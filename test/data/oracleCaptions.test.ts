import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readCaption } from '../../lib/data/captionFile.ts'
import { DataError } from '../../lib/util/errors.ts'
import { loadOracle } from '../support/dataOracle.ts'
import { makeFolder } from '../support/pictures.ts'

interface SourceFixture {
  readonly cases: readonly {
    readonly name: string
    /** Contents in base64. */
    readonly files: Readonly<Record<string, string>>
    readonly picture: string
    readonly captionExtension: string
    readonly classTokens: string | null
    readonly enableWildcard: boolean
    readonly result?: string
    readonly error?: string
  }[]
}

const { cases } = loadOracle<SourceFixture>('sources')

/** Where we differ: a byte order mark is no part of a caption. */
const deviations: Readonly<Record<string, { readonly result?: string; readonly error?: string }>> = {
  'a byte order mark': { result: 'a cat, hat' },
  'a byte order mark and nothing else': { error: 'the caption file is empty' },
}

describe('captions of pictures against sd-scripts', () => {
  it.each(cases.filter(({ enableWildcard }) => !enableWildcard))('agree for $name', async (source) => {
    const files = Object.entries(source.files).map(([name, data]) => [name, Buffer.from(data, 'base64')] as const)
    const folder = await makeFolder(Object.fromEntries(files))
    const { captionExtension: extension, classTokens, name } = source
    const captionExtension = extension.startsWith('.') ? extension : `.${extension}`
    const read = readCaption(join(folder, source.picture), { captionExtension, classTokens: classTokens ?? undefined })
    const { result, error } = deviations[name] ?? source
    if (error === undefined) expect((await read).text).toBe(result)
    else await expect(read).rejects.toThrow(DataError)
  })
})
