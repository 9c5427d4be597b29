import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { DatasetFile } from '../../lib/config/datasetFile.ts'
import { datasetJsonSchema } from '../../lib/config/datasetJsonSchema.ts'
import { checkKinds } from '../../lib/config/datasetKinds.ts'
import { type DatasetOption, datasetOptions } from '../../lib/config/datasetOptions.ts'
import { validateDatasetConfig } from '../../lib/config/datasetSchema.ts'
import { anyTree, nearlyRight, right } from './anyDatasetFile.ts'
import { matches } from './jsonSchemaChecker.ts'

const schema = datasetJsonSchema()

/** What stands in a tree at a path. */
function at(tree: unknown, ...path: readonly string[]): Readonly<Record<string, unknown>> | undefined {
  let inner = tree
  for (const key of path) inner = (inner as Readonly<Record<string, unknown>>)[key]
  return inner as Readonly<Record<string, unknown>> | undefined
}

/** What the loader says of the shape and the kinds of a configuration, but for what needs a look at other tables. */
async function isAccepted(raw: unknown): Promise<boolean> {
  const problems = [...(await validateDatasetConfig(raw)), ...checkKinds(raw, {})]
  if (problems.some(({ path, message }) => path[0] !== 'general' || !message.includes('no dataset is'))) return false
  const { datasets = [] } = raw as Partial<DatasetFile>
  return datasets.length > 0 && datasets.every(({ subsets = [] }) => subsets.length > 0)
}

describe('the JSON Schema', () => {
  it('has every option at each of its levels, with description and default', () => {
    const dataset = at(schema, 'properties', 'datasets', 'items')
    const tables = {
      general: at(schema, 'properties', 'general', 'properties'),
      dataset: at(dataset, 'properties'),
      subset: at(dataset, 'properties', 'subsets', 'items', 'properties'),
    }
    for (const option of datasetOptions as readonly DatasetOption[])
      for (const [level, properties] of Object.entries(tables)) {
        const entry = at(properties, option.name)
        const isThere = option.levels.includes(level as keyof typeof tables)
        expect(entry?.description, `${option.name} in ${level}`).toBe(isThere ? option.doc : undefined)
        expect(entry?.default, `${option.name} in ${level}`).toBe(isThere ? option.default : undefined)
      }
  })

  it.each<[string, unknown, boolean]>([
    ['a folder', { datasets: [{ subsets: [{ image_dir: 'a' }] }] }, true],
    ['metadata', { datasets: [{ resolution: [512, 768], subsets: [{ metadata_file: 'm.json' }] }] }, true],
    ['the alias', { general: { caption_extention: '.txt' }, datasets: [{ subsets: [{ image_dir: 'a' }] }] }, true],
    ['both kinds in one dataset', { datasets: [{ subsets: [{ image_dir: 'a' }, { metadata_file: 'b' }] }] }, false],
    ['regularization metadata', { datasets: [{ subsets: [{ metadata_file: 'b', is_reg: true }] }] }, false],
    ['classes of metadata', { datasets: [{ class_tokens: 'x', subsets: [{ metadata_file: 'b' }] }] }, false],
    ['a subset of nothing', { datasets: [{ subsets: [{}] }] }, false],
    ['no subset', { datasets: [{ subsets: [] }] }, false],
    ['no dataset', { general: {} }, false],
    ['an unknown key', { datasets: [{ subsets: [{ image_dir: 'a', keep_token: 1 }] }] }, false],
    ['an option of datasets in a subset', { datasets: [{ subsets: [{ image_dir: 'a', batch_size: 1 }] }] }, false],
    ['a number as text', { datasets: [{ batch_size: '1', subsets: [{ image_dir: 'a' }] }] }, false],
    ['half a size', { datasets: [{ resolution: [512], subsets: [{ image_dir: 'a' }] }] }, false],
    [
      'another word',
      { general: { resize_interpolation: 'boxes' }, datasets: [{ subsets: [{ image_dir: 'a' }] }] },
      false,
    ],
    [
      'too large a share',
      { general: { caption_dropout_rate: 2 }, datasets: [{ subsets: [{ image_dir: 'a' }] }] },
      false,
    ],
  ])('and the loader agree on %s', async (_, raw, expected) => {
    expect(matches(schema, raw)).toBe(expected)
    expect(await isAccepted(raw)).toBe(expected)
  })

  it('and the loader agree on random files, right and wrong', async () => {
    const counts = { right: 0, wrong: 0 }
    await fc.assert(
      fc.asyncProperty(fc.oneof(nearlyRight, right, anyTree), async (raw) => {
        const accepted = await isAccepted(raw)
        counts[accepted ? 'right' : 'wrong']++
        expect(matches(schema, raw)).toBe(accepted)
      }),
      { numRuns: 1500 },
    )
    expect(Math.min(counts.right, counts.wrong)).toBeGreaterThan(300)
  })

  it('is JSON', () => {
    expect(JSON.parse(JSON.stringify(schema))).toEqual(schema)
  })
})
