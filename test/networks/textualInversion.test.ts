import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openTensorFile } from '../../lib/io/openTensorFile.ts'
import { clipL, openClipH } from '../../lib/models/clip/config.ts'
import {
  type EmbeddingRows,
  readTextualInversion,
  type TextualInversion,
  writeTextualInversion,
  xtiLayers,
} from '../../lib/networks/textualInversion.ts'
import { float16Round } from '../support/float16Round.ts'
import { formulaValues, roundBfloat16 } from '../support/formula.ts'
import { shapesOnly } from './shapesOnly.ts'

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/textual_inversion/${name}`, import.meta.url))

/** The rows that scripts/reference/textual_inversion.py made, in float32. */
function rows(name: string, n: number, d: number): EmbeddingRows {
  return { shape: [n, d], values: formulaValues(name, { shape: [n, d], kind: 'normal-like', scale: 0.02 }) }
}

function rounded({ shape, values }: EmbeddingRows, round: (values: Float32Array) => Float32Array): EmbeddingRows {
  return { shape, values: round(values) }
}

let folder: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'noisewright-ti-'))
})
afterEach(async () => {
  await fs.rm(folder, { recursive: true, force: true })
})

describe('readTextualInversion', () => {
  const cases: readonly (readonly [file: string, width: number, token: string | null, rows: EmbeddingRows])[] = [
    ['webUi.pt', 768, 'webUi', rows('webUi/*', 2, 768)],
    ['webUiModule.pt', 768, 'webUiModule', rows('webUiModule/*', 1, 768)],
    ['embParams.pt', 768, null, rounded(rows('embParams/emb_params', 3, 768), roundBfloat16)],
    ['learnedEmbeds.bin', 768, '<frog>', rows('learnedEmbeds/<frog>', 1, 768)],
    ['embParams.safetensors', 768, null, rows('embParams/emb_params', 3, 768)],
    ['learnedEmbedsSd2.safetensors', 1024, '<frog>', rounded(rows('learnedEmbeds/<frog>', 1, 1024), float16Round)],
  ]
  it.each(cases)('reads %s', async (file, hiddenSize, token, expected) => {
    expect(await readTextualInversion(fixture(file), { hiddenSize })).toMatchObject({
      kind: 'embedding',
      token,
      rows: expected,
    })
  })

  it.each(['xti.safetensors', 'xti.pt'])('reads the rows of every layer from %s', async (file) => {
    const found = await readTextualInversion(fixture(file), clipL)
    if (found.kind !== 'layers') throw new Error(found.kind)
    expect([...found.layers.keys()]).toEqual([...xtiLayers])
    for (const layer of xtiLayers)
      expect(found.layers.get(layer)).toEqual(rounded(rows(`xti/${layer}`, 2, 768), float16Round))
  })

  it('refuses embeddings for other models by the name of their family', async () => {
    await expect(readTextualInversion(fixture('sdxl.safetensors'), clipL)).rejects.toThrow('Stable Diffusion XL')
    await expect(readTextualInversion(fixture('webUi.pt'), openClipH)).rejects.toThrow(
      'expected rows of 1024 numbers, found 768; the file is for Stable Diffusion 1.x',
    )
    const sd2 = fixture('learnedEmbedsSd2.safetensors')
    await expect(readTextualInversion(sd2, clipL)).rejects.toThrow('the file is for Stable Diffusion 2.x')
  })

  it('refuses what is no embedding', async () => {
    const read = (shapes: Readonly<Record<string, readonly number[]>>): Promise<TextualInversion> =>
      readTextualInversion(shapesOnly('x.pt', shapes), clipL)
    const xti = Object.fromEntries(xtiLayers.map((layer) => [layer, [2, 768]]))
    const { MID: _, ...without } = xti
    await expect(read({})).rejects.toThrow('found 0 tensors')
    await expect(read({ a: [1, 768], b: [1, 768] })).rejects.toThrow('found 2 tensors ("a", ...)')
    await expect(read({ 'x.lora_up.weight': [1, 4], 'x.lora_down.weight': [4, 1] })).rejects.toThrow('found a LoRA')
    await expect(read({ emb_params: [1, 1, 768] })).rejects.toThrow('expected shape [n, 768], found [1, 1, 768]')
    await expect(read({ emb_params: [0, 768] })).rejects.toThrow('expected shape')
    await expect(read(without)).rejects.toThrow('none for MID')
    await expect(read({ ...xti, OUT12: [2, 768] })).rejects.toThrow('others: OUT12')
    await expect(read({ ...xti, MID: [3, 768] })).rejects.toThrow('as many rows for each layer')
    const nan = shapesOnly('x.pt', { emb_params: [1, 768] }, { values: () => new Float32Array(768).fill(Number.NaN) })
    await expect(readTextualInversion(nan, clipL)).rejects.toThrow('NaN')
  })
})

describe('writeTextualInversion', () => {
  const embedding = rows('embParams/emb_params', 3, 768)

  it.each([
    ['ours.safetensors', 'F32', undefined],
    ['ours.pt', 'F32', undefined],
    ['ours.ckpt', 'BF16', 'bf16'],
    ['ours.safetensors', 'F16', 'fp16'],
  ] as const)('writes %s as %s and reads it again', async (name, dtype, precision) => {
    const path = join(folder, name)
    const options = precision === undefined ? {} : { precision }
    expect(await writeTextualInversion(path, embedding, options)).toBe((await fs.stat(path)).size)
    const file = await openTensorFile(path)
    expect(file.names).toEqual(['emb_params'])
    expect(file.info('emb_params')).toMatchObject({ dtype, shape: [3, 768] })
    await file.close()
    const round = { F32: (v: Float32Array) => v, BF16: roundBfloat16, F16: float16Round }[dtype]
    expect(await readTextualInversion(path, clipL)).toMatchObject({ token: null, rows: rounded(embedding, round) })
  })

  it('writes the bytes that the safetensors package writes', async () => {
    const path = join(folder, 'ours.safetensors')
    await writeTextualInversion(path, embedding)
    expect(await fs.readFile(path)).toEqual(await fs.readFile(fixture('embParams.safetensors')))
    const found = await readTextualInversion(fixture('xti.safetensors'), clipL)
    if (found.kind !== 'layers') throw new Error(found.kind)
    await writeTextualInversion(path, found.layers, { precision: 'fp16' })
    expect(await fs.readFile(path)).toEqual(await fs.readFile(fixture('xti.safetensors')))
  })

  it('refuses other extensions, missing layers and rows of another size', async () => {
    await expect(writeTextualInversion(join(folder, 'x.png'), embedding)).rejects.toThrow('.safetensors, .ckpt')
    const layers = new Map([['MID', embedding]] as const)
    await expect(writeTextualInversion(join(folder, 'x.pt'), layers)).rejects.toThrow('none for IN01')
    const short = { shape: [2, 768] as const, values: new Float32Array(768) }
    await expect(writeTextualInversion(join(folder, 'x.pt'), short)).rejects.toThrow('1536 numbers for [2, 768]')
  })
})
