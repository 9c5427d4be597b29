import { describe, expect, it } from 'vitest'
import { mutatedFiles } from '../../scripts/mutations/list.ts'
import { exists, textOf } from './files.ts'

const mutations = mutatedFiles.flatMap(({ file, tests, mistakes }) =>
  Object.entries(mistakes).map(([name, [find, replace]]) => ({ name, file, tests, find, replace })),
)

describe('mutations of what runs on a GPU', () => {
  it('are many, each with a name of its own', () => {
    expect(mutations.length).toBeGreaterThanOrEqual(40)
    expect(new Set(mutations.map(({ name }) => name)).size).toBe(mutations.length)
  })
  it('change text that occurs once', () => {
    const places = mutations.filter(({ file, find }) => textOf(`native/${file}`).split(find).length !== 2)
    expect(places).toEqual([])
    expect(mutations.filter(({ find, replace }) => find === replace)).toEqual([])
  })
  it('name tests that exist', () => {
    const tests = new Set(mutations.flatMap((mutation) => mutation.tests))
    expect([...tests].filter((test) => !exists(`test/${test}.test.ts`))).toEqual([])
  })
})
