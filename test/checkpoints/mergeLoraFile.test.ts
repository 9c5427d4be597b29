import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { noGrad } from '../../lib/autograd/tape.ts'
import { loadStableDiffusion } from '../../lib/checkpoints/loadStableDiffusion.ts'
import { mergeLoraIntoCheckpoint } from '../../lib/checkpoints/mergeLoraFile.ts'
import { bytesToFloat32 } from '../../lib/io/tensorBytes.ts'
import type { StableDiffusionConfig } from '../../lib/models/stableDiffusion/config.ts'
import { layerShapes } from '../../lib/models/stableDiffusion/layerShapes.ts'
import type { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { attachLoraFile } from '../../lib/networks/attachLora.ts'
import { type LoraFileModule, readLora } from '../../lib/networks/loraFile.ts'
import { writeLora } from '../../lib/networks/writeLora.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { scope } from '../../lib/tensor/scope.ts'
import { CheckpointError } from '../../lib/util/errors.ts'
import { readTensors, saveTinyCheckpoint, small1, small2 } from '../support/checkpoints.ts'
import { formulaValues } from '../support/formula.ts'
import { makeFolder } from '../support/pictures.ts'
import { formulaInput } from '../support/tinyModels.ts'

/** A LoRA of rank 2 for every third layer, convolutions and both parts. */
async function saveLora(config: StableDiffusionConfig, name: string): Promise<string> {
  const modules = layerShapes(config)
    .filter((_, i) => i % 3 === 0)
    .map((layer): LoraFileModule => {
      const [out, inChannels, ...kernel] = layer.shape as readonly [number, number, ...number[]]
      const matrix = (part: string, shape: readonly number[]) => ({
        shape,
        read: async () => formulaValues(`${name}/${layer.path}/${part}`, { shape, kind: 'normal-like' }),
      })
      const up = matrix('up', [out, 2, ...kernel.map(() => 1)])
      const weights = { 'lora_down.weight': matrix('down', [2, inChannels, ...kernel]), 'lora_up.weight': up }
      return { kind: 'lora', layer, rank: 2, alpha: 0.5, weights }
    })
  const path = join(await makeFolder(), name)
  await writeLora(path, modules, { config })
  return path
}

/** The U-Net's output for what the text encoder makes of some ids. */
async function outputOf({ unet, textEncoder, config }: StableDiffusion): Promise<Float32Array> {
  const result = scope(() =>
    noGrad(() => {
      const latents = formulaInput('merge/latents', [1, 8, 8, config.unet.inChannels])
      const { positions } = config.textEncoder
      const ids = tensor(
        Int32Array.from({ length: positions }, (_, i) => (7 * i) % 90),
        [1, positions],
      )
      return unet.forward(latents, tensor([500], [1]), textEncoder.forward(ids).lastHiddenState)
    }),
  )
  const values = (await result.read()) as Float32Array
  result.dispose()
  return values
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length)
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)
}

const configs = [
  ['a small SD 1', small1],
  ['a small SD 2', small2],
] as const

describe('mergeLoraIntoCheckpoint', () => {
  it.each(configs)('makes a file that computes as %s with the LoRA attached', async (_name, config) => {
    const [source, lora] = [await saveTinyCheckpoint(config), await saveLora(config, 'frog.safetensors')]
    const target = join(await makeFolder(), 'merged.safetensors')
    const report = await mergeLoraIntoCheckpoint(source, [{ path: lora, multiplier: 0.1 }], target, {
      to: 'safetensors',
    })
    expect(report.version).toBe(config.version)
    const plain = await loadStableDiffusion(source)
    const merged = await loadStableDiffusion(target)
    const before = await outputOf(plain.models)
    const file = await readLora(lora, plain.models.config)
    expect(report.layers).toEqual([file.modules.length])
    const detach = await attachLoraFile(file, plain.models, { multiplier: 0.1 })
    const [attached, found] = [await outputOf(plain.models), await outputOf(merged.models)]
    detach()
    await file.close()
    plain.models.dispose()
    merged.models.dispose()
    expect(largestDifference(attached, before)).toBeGreaterThan(1e-3)
    expect(largestDifference(attached, found)).toBeLessThan(1e-5)
  })

  it('copies what no module touches, and adds several files up', async () => {
    const [source, lora] = [await saveTinyCheckpoint(small1), await saveLora(small1, 'frog.safetensors')]
    const folder = await makeFolder()
    const [once, twice] = [join(folder, 'once.safetensors'), join(folder, 'twice.safetensors')]
    const merge = (parts: readonly number[], path: string) =>
      mergeLoraIntoCheckpoint(
        source,
        parts.map((multiplier) => ({ path: lora, multiplier })),
        path,
        { to: 'safetensors' },
      )
    await merge([0.5], once)
    await merge([0.25, 0.25], twice)
    const [before, after, sum] = [await readTensors(source), await readTensors(once), await readTensors(twice)]
    const touched = layerShapes(small1).filter((_, i) => i % 3 === 0)
    let changed = 0
    for (const [name, { data }] of before.tensors) {
      const [one, two] = [after.tensors.get(name)!.data, sum.tensors.get(name)!.data]
      if (Buffer.from(one).equals(data)) continue
      changed++
      expect(largestDifference(bytesToFloat32(one, 'F32'), bytesToFloat32(two, 'F32'))).toBeLessThan(1e-6)
    }
    expect(changed).toBe(touched.length)
  })

  it('refuses a LoRA for another model by name, and writes nothing', async () => {
    const [source, lora] = [await saveTinyCheckpoint(small1), await saveLora(small2, 'frog.safetensors')]
    const folder = await makeFolder()
    const refused = mergeLoraIntoCheckpoint(source, [{ path: lora }], join(folder, 'merged.ckpt'), { to: 'ckpt' })
    await expect(refused).rejects.toThrow(CheckpointError)
    await expect(refused).rejects.toThrow(lora)
    expect(await readdir(folder)).toEqual([])
  })
})
