import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { modelFacts } from '../../../lib/train/facts/modelFacts.ts'
import { makeFolder } from '../../support/pictures.ts'

it('records a hub id as the user wrote it', async () => {
  expect(await modelFacts('org/name@v2')).toEqual({ name: 'org/name@v2' })
})

it('records a folder by its name and a file by its name and hashes', async () => {
  const folder = await makeFolder()
  expect(await modelFacts(folder)).toEqual({ name: folder.split('/').at(-1) })
  const path = join(folder, 'model.ckpt')
  await writeFile(path, 'weights')
  const facts = await modelFacts(path)
  expect(facts.name).toBe('model.ckpt')
  expect(facts.hashes?.sha256).toBe(createHash('sha256').update('weights').digest('hex'))
})
