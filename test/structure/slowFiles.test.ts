import { expect, it } from 'vitest'
import { slowFiles } from '../support/slowFirst.ts'
import { filesUnder } from './files.ts'

it('the slow files that begin first are there under their names', () => {
  expect(slowFiles.length).toBeGreaterThan(3)
  const there = filesUnder('test', (path) => path.endsWith('.test.ts'))
  expect(slowFiles.filter((path) => !there.includes(path))).toEqual([])
})
