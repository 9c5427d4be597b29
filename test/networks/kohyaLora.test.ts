import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { legacyFileHash, sha256File } from '../../lib/io/fileHash.ts'
import { openSafetensors, writeSafetensors } from '../../lib/io/safetensors.ts'
import {
  kohyaHashes,
  kohyaName,
  kohyaTensors,
  readKohyaLora,
  type WriteKohyaLoraOptions,
  writeKohyaLora,
} from '../../lib/networks/kohyaLora.ts'
import { loraMetadata, minimalLoraMetadata } from '../../lib/networks/metadata.ts'
import { float, pythonJson, pythonStr } from '../../lib/networks/pythonText.ts'
import { CheckpointError } from '../../lib/util/errors.ts'
import { commandLineData, configData, network, networkFacts, saveFacts, trainingFacts } from './loraFileFacts.ts'

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/loraFile/${name}`, import.meta.url))

interface Expected {
  readonly large: { readonly sshs_model_hash: string; readonly sshs_legacy_hash: string }
  readonly floats: readonly { readonly number: string; readonly str: string; readonly json: string }[]
}
const expected = JSON.parse(await fs.readFile(fixture('expected.json'), 'utf8')) as Expected

let folder: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'noisewright-lora-'))
})
afterEach(async () => {
  await fs.rm(folder, { recursive: true, force: true })
})

/** Writes our file and compares everything in it with Python's. */
async function compare(name: string, rank: number, alpha: number, options: WriteKohyaLoraOptions): Promise<void> {
  const path = join(folder, 'ours.safetensors')
  await writeKohyaLora(path, network(5, 3, rank, alpha), options)
  const ours = await openSafetensors(path)
  const theirs = await openSafetensors(fixture(`${name}.safetensors`))
  expect(Object.fromEntries(ours.metadata)).toEqual(Object.fromEntries(theirs.metadata))
  expect(ours.names).toEqual(theirs.names)
  for (const key of theirs.names) {
    const { dtype, shape } = theirs.info(key)
    expect(ours.info(key), key).toMatchObject({ dtype, shape })
    expect(await ours.read(key), key).toEqual(await theirs.read(key))
  }
  await ours.close()
  await theirs.close()
}

describe('writeKohyaLora', () => {
  it('writes the keys, shapes, types, metadata and hashes of a training from a configuration file', async () => {
    const metadata = loraMetadata(trainingFacts(configData), saveFacts)
    await compare('config', 2, 0.5, { precision: 'bf16', metadata })
  })

  it('writes those of a training from the command line, with rank and alpha left at their defaults', async () => {
    const net = { module: 'networks.lora', dim: null, alpha: null, dropout: null }
    const metadata = loraMetadata(trainingFacts(commandLineData, net), saveFacts)
    await compare('commandLine', 4, 1, { integerAlpha: true, metadata })
  })

  it('writes only what rebuilds the network when metadata is not wanted', async () => {
    await compare('minimal', 2, 0.5, { precision: 'fp16', metadata: minimalLoraMetadata(networkFacts) })
  })

  it('hashes a file of more than 1 MiB as Python does, without depending on metadata of others', async () => {
    const metadata = loraMetadata(trainingFacts(commandLineData), saveFacts)
    const tensors = kohyaTensors(network(900, 700, 24, 0.5))
    expect(await kohyaHashes(tensors, metadata)).toEqual(expected.large)
    expect(await kohyaHashes(tensors, { ...metadata, 'modelspec.title': 'x'.repeat(500) })).toEqual(expected.large)
    // The same bytes on disk: the short hash of a file written with only the ss_ metadata.
    const path = join(folder, 'large.safetensors')
    await writeSafetensors(path, tensors, { metadata })
    expect(await legacyFileHash(path)).toBe(expected.large.sshs_legacy_hash)
  })

  it('refuses shapes that do not fit together and alphas that are no integers where one is stored', async () => {
    const [module] = network(5, 3, 2, 0.5)
    const path = join(folder, 'refused.safetensors')
    const up = { shape: [3, 4, 1, 1], values: new Float32Array(12) }
    const wrong = { ...module!, weights: { ...module!.weights, 'lora_up.weight': up } }
    await expect(writeKohyaLora(path, [wrong], { metadata: {} })).rejects.toThrow(
      /lora_up of "lora_unet_mid.*\[3, 4, 1, 1\]/,
    )
    const attempt = writeKohyaLora(path, [module!], { metadata: {}, integerAlpha: true })
    await expect(attempt).rejects.toThrow(/alpha of .* whole to be stored as an integer, received 0.5/)
    expect(await fs.readdir(folder)).toEqual([])
  })
})

describe('readKohyaLora', () => {
  it('reads back what was written, whatever the type of alpha', async () => {
    for (const integerAlpha of [true, false]) {
      const path = join(folder, 'lora.safetensors')
      await writeKohyaLora(path, network(5, 3, 2, 1), { integerAlpha, metadata: { ss_network_dim: '2' } })
      const { modules, metadata } = await readKohyaLora(path)
      expect(metadata.get('ss_network_dim')).toBe('2')
      const byName = new Map(network(5, 3, 2, 1).map((module) => [module.name, module]))
      expect(new Map(modules)).toEqual(byName)
    }
  })

  it('takes the rank for a missing alpha and refuses a missing weight', async () => {
    const tensors = kohyaTensors(network(5, 3, 2, 0.5))
    const path = join(folder, 'lora.safetensors')
    await writeSafetensors(
      path,
      tensors.filter(({ name }) => !name.endsWith('.alpha')),
    )
    const { modules } = await readKohyaLora(path)
    expect([...modules.values()].map(({ alpha }) => alpha)).toEqual([2, 2, 2, 2])
    await writeSafetensors(path, tensors.slice(1))
    await expect(readKohyaLora(path)).rejects.toThrow(CheckpointError)
  })
})

describe('kohyaName', () => {
  it('joins prefix and path with underscores', () => {
    const path = 'down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_out.0'
    const name = 'lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn2_to_out_0'
    expect(kohyaName('lora_unet', path)).toBe(name)
  })
})

describe('values as Python prints them', () => {
  it('prints floats as Python does', () => {
    expect(expected.floats.length).toBeGreaterThan(20)
    for (const { number, str, json } of expected.floats) {
      const value = float(Number(number.replace('inf', 'Infinity')))!
      expect(pythonStr(value)).toBe(str)
      expect(pythonJson(value)).toBe(json)
    }
  })

  it('prints None, booleans, integers, tuples and texts', () => {
    expect([null, true, false, 4294967296, 0.5, 'text'].map(pythonStr).join(' ')).toBe(
      'None True False 4294967296 0.5 text',
    )
    expect(pythonStr([512, 640])).toBe('(512, 640)')
    expect(pythonStr([float(1), null, 'a'])).toBe("(1.0, None, 'a')")
    expect(pythonStr([7])).toBe('(7,)')
    expect(pythonStr([])).toBe('()')
  })

  it('escapes what is not ASCII in JSON', () => {
    expect(pythonJson({ ü: ['🐸', '"\\\n\u007f'], n: null })).toBe(
      '{"\\u00fc": ["\\ud83d\\udc38", "\\"\\\\\\n\\u007f"], "n": null}',
    )
  })
})

describe('file hashes', () => {
  it('gives the known values for a short, a missing and an unreadable file', async () => {
    const path = join(folder, 'short')
    await fs.writeFile(path, 'abc')
    expect(await sha256File(path)).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
    expect(await legacyFileHash(path)).toBe('e3b0c442')
    expect(await legacyFileHash(join(folder, 'none'))).toBe('NOFILE')
    expect(await legacyFileHash(folder)).toBe('IsADirectory')
    await expect(sha256File(join(folder, 'none'))).rejects.toThrow(/no such file/)
  })
})
