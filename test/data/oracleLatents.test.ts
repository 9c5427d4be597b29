import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readNpz } from '../../lib/io/npz.ts'
import { loadOracle, oracleFolder } from '../support/dataOracle.ts'

interface LatentFixture {
  /** By file, then by array. */
  readonly files: Readonly<
    Record<string, Readonly<Record<string, { readonly shape: readonly number[]; readonly sha256: string }>>>
  >
}

const { files } = loadOracle<LatentFixture>('latents')

describe('latents that sd-scripts wrote', () => {
  it.each(Object.keys(files))('are read in full: %s', async (name) => {
    const found = new Map(Object.entries(files[name]!))
    const arrays = await readNpz(join(oracleFolder, 'pictures', 'latents', name))
    expect([...arrays.keys()].sort()).toEqual([...found.keys()].sort())
    for (const [key, { shape, bytes }] of arrays) {
      expect(shape, key).toEqual(found.get(key)!.shape)
      expect(createHash('sha256').update(bytes).digest('hex'), key).toBe(found.get(key)!.sha256)
    }
  })
})
