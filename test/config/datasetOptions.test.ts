import { expect, it } from 'vitest'
import { commandLineOnlyOptions, datasetOptions, describeDatasetOptions } from '../../lib/config/datasetOptions.ts'

it('names every option once over all lists', () => {
  const names = [...datasetOptions.map((option) => option.name), ...commandLineOnlyOptions]
  expect(new Set(names).size).toBe(names.length)
})

it('documents every option in one table row', () => {
  const table = describeDatasetOptions()
  for (const { name, doc } of datasetOptions)
    expect(table.split('\n').filter((row) => row.startsWith(`| \`${name}\``) && row.includes(doc))).toHaveLength(1)
  expect(table).toContain(
    '| `min_bucket_reso` | a whole number of at least 8 | `256` | [general] or [[datasets]] | `--min_bucket_reso` |',
  )
})
