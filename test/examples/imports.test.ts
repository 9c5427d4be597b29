import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { packageRoot } from '../../lib/util/packageRoot.ts'

const folder = join(packageRoot(), 'examples')
const names = (await readdir(folder)).filter((name) => name.endsWith('.ts'))

it.each(names)('the example %s imports nothing but the package and Node', async (name) => {
  const text = await readFile(join(folder, name), 'utf8')
  const imported = [...text.matchAll(/from '([^']+)'/g)].map(([, path]) => path!)
  expect(imported.length).toBeGreaterThan(0)
  expect(imported.filter((path) => !/^(noisewright(\/train)?|node:.+)$/.test(path))).toEqual([])
})

it('the list of examples names every one', async () => {
  const list = await readFile(join(folder, 'README.md'), 'utf8')
  expect([...list.matchAll(/`(\w+\.ts)`/g)].map(([, name]) => name).toSorted()).toEqual(names.toSorted())
})
