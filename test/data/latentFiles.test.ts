import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import {
  channelsFirst,
  channelsLast,
  hasLatentFile,
  latentFileName,
  readAlphaMask,
  readLatentFile,
  writeLatentFile,
} from '../../lib/data/latentFiles.ts'
import { readNpz, writeNpz } from '../../lib/io/npz.ts'
import { fileDTypeBytes } from '../../lib/io/tensorBytes.ts'
import { DataError } from '../../lib/util/errors.ts'
import { makeFolder } from '../support/pictures.ts'

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/latents_npz/${name}`, import.meta.url))
const size = { width: 5, height: 3, channels: 4 }

/** [4, 3, 5], as scripts/reference/latents_npz.py makes it. */
const inFile = (seed: number): Float32Array =>
  Float32Array.from({ length: 60 }, (_, i) => (((i * 7 + seed) % 33) - 16) / 8)

describe('latents beside pictures', () => {
  it.each(['plain', 'half', 'old', 'newer'])('are read from %s.npz', async (name) => {
    const { values, shape } = await readLatentFile({ file: fixture(`${name}.npz`) }, false, size)
    expect(shape).toEqual([3, 5, 4])
    expect(channelsFirst(values, 4)).toEqual(inFile(0))
    expect(values[4]).toBe(inFile(0)[1])
  })

  it('are read mirrored from a second file, or from the newer layout', async () => {
    const pair = { file: fixture('plain.npz'), flippedFile: fixture('plain_flip.npz') }
    expect(channelsFirst((await readLatentFile(pair, true, size)).values, 4)).toEqual(inFile(1))
    const newer = { file: fixture('newer.npz') }
    expect(channelsFirst((await readLatentFile(newer, true, size)).values, 4)).toEqual(inFile(1))
    const message =
      /plain\.npz: expected an array "latents_flipped", or a file \.\.\._flip\.npz beside it, found "arr_0"/
    await expect(readLatentFile({ file: fixture('plain.npz') }, true, size)).rejects.toThrow(message)
  })

  it('bring the alpha mask of the newer layout', async () => {
    const mask = await readAlphaMask(fixture('newer.npz'))
    expect(mask?.shape).toEqual([24, 40])
    expect(mask?.values.slice(0, 4)).toEqual(Float32Array.of(0, 0.5, 1, 0))
    expect(await readAlphaMask(fixture('plain.npz'))).toBeNull()
  })

  it('are refused with the file and the reason', async () => {
    const read = (name: string, expected = size): Promise<unknown> =>
      readLatentFile({ file: fixture(name) }, false, expected)
    await expect(read('plain.npz', { ...size, width: 3, height: 5 })).rejects.toThrow(
      /plain\.npz: "arr_0" has the shape \[4, 3, 5\], expected \[4, 5, 3\]/,
    )
    await expect(read('infinite.npz')).rejects.toThrow(/"arr_0" holds values that are not finite: make it again/)
    await expect(read('none.npz')).rejects.toThrow(DataError)
    const folder = await makeFolder({ 'text.npz': 'text' })
    await writeFile(join(folder, 'short.npz'), (await readFile(fixture('plain.npz'))).subarray(0, 300))
    const whole = new Map([
      ['I32', 'whole.npz'],
      ['BOOL', 'truth.npz'],
    ] as const)
    for (const [dtype, name] of whole) {
      const data = new Uint8Array(60 * fileDTypeBytes[dtype])
      await writeNpz(join(folder, name), [{ name: 'arr_0', dtype, shape: [4, 3, 5], data }])
      await expect(readLatentFile({ file: join(folder, name) }, false, size)).rejects.toThrow(
        `"arr_0" holds ${dtype} values, expected floating-point ones`,
      )
    }
    for (const name of ['text.npz', 'short.npz'])
      await expect(readLatentFile({ file: join(folder, name) }, false, size)).rejects.toThrow(
        /these latents cannot be used/,
      )
  })

  it('are written as float32 [c, h, w] and found by their size', async () => {
    const path = latentFileName(join(await makeFolder(), 'frog'), true)
    expect(path).toMatch(/\/frog_flip\.npz$/)
    await writeLatentFile(path, { values: channelsLast(inFile(2), 4), shape: [3, 5, 4] })
    const written = (await readNpz(path)).get('arr_0')
    expect(written).toMatchObject({ dtype: 'F32', shape: [4, 3, 5] })
    expect(new Float32Array(written!.bytes.buffer, written!.bytes.byteOffset, 60)).toEqual(inFile(2))
    expect(await hasLatentFile(path, { width: 5, height: 3 })).toBe(true)
    expect(await hasLatentFile(path, { width: 3, height: 5 })).toBe(false)
    expect(await hasLatentFile(`${path}.npz`, { width: 5, height: 3 })).toBe(false)
    await writeFile(path, 'text')
    expect(await hasLatentFile(path, { width: 5, height: 3 })).toBe(false)
  })
})
