import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { convertCheckpoint } from '../../lib/checkpoints/convertCheckpoint.ts'
import { inspectFile } from '../../lib/checkpoints/inspect.ts'
import { ldmKeys } from '../../lib/checkpoints/keys/ldmKeys.ts'
import { ldmShape } from '../../lib/checkpoints/ldmShape.ts'
import { writeSafetensors } from '../../lib/io/safetensors.ts'
import { buildSafetensorsHeader, canonicalOrder } from '../../lib/io/safetensorsHeader.ts'
import { writeTorchFile } from '../../lib/io/torchFileWriter.ts'
import { sd2 } from '../../lib/models/stableDiffusion/config.ts'
import { parameterShapes } from '../../lib/models/stableDiffusion/parameterShapes.ts'
import { writeKohyaLora } from '../../lib/networks/kohyaLora.ts'
import { IoError } from '../../lib/util/errors.ts'
import { changedCopy, saveTinyCheckpoint, small1, small2, zerosOf } from '../support/checkpoints.ts'
import { makeFolder } from '../support/pictures.ts'

const fixture = (path: string): string => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url))

async function place(name: string): Promise<string> {
  return join(await makeFolder(), name)
}

async function saveLora(metadata: Readonly<Record<string, string>> = {}): Promise<string> {
  const path = await place('frog.safetensors')
  const module = (name: string, out: number, inFeatures: number, rank: number, alpha: number) => ({
    name,
    alpha,
    weights: {
      'lora_down.weight': { shape: [rank, inFeatures], values: new Float32Array(rank * inFeatures) },
      'lora_up.weight': { shape: [out, rank], values: new Float32Array(out * rank) },
    },
  })
  const block = 'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0'
  const modules = [
    module(`${block}_attn2_to_k`, 320, 768, 8, 4),
    module(`${block}_attn1_to_q`, 320, 320, 8, 4),
    module('lora_te_text_model_encoder_layers_0_mlp_fc1', 3072, 768, 16, 16),
  ]
  await writeKohyaLora(path, modules, { metadata })
  return path
}

describe('inspectFile', () => {
  it.each([
    ['safetensors', small1],
    ['ckpt', small2],
  ] as const)('tells what a single file is: %s', async (to, config) => {
    const report = await inspectFile(await saveTinyCheckpoint(config, `model.${to}`))
    expect(report).toMatchObject({ readable: true, problem: null, kind: 'stableDiffusion', version: config.version })
    expect(report.format).toBe(to === 'ckpt' ? 'torch' : 'safetensors')
    expect(report.parts.unet).toMatchObject({ dtypes: ['F32'] })
    expect(report.suspicious).toEqual([])
    // A PyTorch file has no place for the sizes that the shapes of so small a model do not tell.
    if (to === 'ckpt') expect(report.refusal).toContain('give it in "sizes"')
    else expect(report).toMatchObject({ refusal: null, prediction: { value: 'epsilon' } })
  })

  it('tells what a folder is, from its configuration and indexes', async () => {
    const folder = await place('model')
    const source = await saveTinyCheckpoint(small2)
    await convertCheckpoint(source, folder, { to: 'diffusers', precision: 'fp16' })
    const report = await inspectFile(folder)
    expect(report).toMatchObject({ readable: true, format: 'diffusersFolder', version: 2, refusal: null })
    expect(report.prediction).toEqual({ value: small2.predictionType, source: 'scheduler/scheduler_config.json' })
    expect(report.all.dtypes).toEqual(['F16'])
    expect(report.all.parameterCount).toBe(
      (['unet', 'textEncoder', 'vae'] as const).reduce((sum, part) => sum + report.parts[part]!.parameterCount, 0),
    )
    expect(report.suspicious).toEqual([])
    await truncate(join(folder, 'vae', 'diffusion_pytorch_model.bin'), 1000)
    expect(await inspectFile(folder)).toMatchObject({ readable: false, problem: expect.stringContaining('vae') })
  })

  it('takes less than a second for 7 GB, of which it reads the header', async () => {
    const tensors = (['unet', 'textEncoder', 'vae'] as const).flatMap((part) => {
      const keys = ldmKeys(part, sd2)
      const seen = new Map<string, readonly number[]>()
      for (const parameter of parameterShapes(part, sd2)) {
        const slot = keys.toLdm(parameter.name)!
        seen.set(slot.key, ldmShape(parameter, slot))
      }
      return [...seen].map(([name, shape]) => ({ name, shape, dtype: 'F32' as const }))
    })
    const more = { name: 'model_ema.all', shape: [500_000_000], dtype: 'F32' as const }
    const ordered = canonicalOrder([...tensors, more])
    const header = buildSafetensorsHeader(ordered, { 'modelspec.prediction_type': 'v' })
    const path = await place('large.safetensors')
    await writeFile(path, header)
    const data = ordered.reduce((sum, { shape }) => sum + 4 * shape.reduce((a, b) => a * b, 1), 0)
    await truncate(path, header.byteLength + data)
    const started = performance.now()
    const report = await inspectFile(path)
    expect(performance.now() - started).toBeLessThan(1000)
    expect(report.bytes).toBeGreaterThan(7e9)
    expect(report).toMatchObject({ version: 2, refusal: null, suspicious: [] })
    expect(report.prediction).toMatchObject({ value: 'v_prediction' })
    expect(report.parts.unet?.parameterCount).toBe(865_910_724)
  })

  it('tells style, ranks, alphas, targets and training of a LoRA', async () => {
    const path = await saveLora({ ss_sd_model_name: 'frog.ckpt', ss_network_dim: '8', ss_seed: 'None', other: 'x' })
    const report = await inspectFile(path)
    expect(report).toMatchObject({ kind: 'lora', version: 1, refusal: null, suspicious: [] })
    expect(report.lora).toEqual({
      style: 'kohya',
      kinds: { lora: 3 },
      ranks: { 8: 2, 16: 1 },
      alphas: { 4: 2, 16: 1 },
      targets: { textEncoder: 1, unet: 2 },
      layers: { 'mlp.fc1': 1, 'attn2.to_k': 1, 'attn1.to_q': 1 },
      training: { ss_sd_model_name: 'frog.ckpt', ss_network_dim: '8' },
    })
  })

  it('tells token and vectors of textual inversions of every form', async () => {
    const embedding = async (name: string) => (await inspectFile(fixture(`textual_inversion/${name}`))).embedding
    expect(await embedding('embParams.safetensors')).toMatchObject({ token: null, layers: false })
    expect((await embedding('webUi.pt'))?.token).not.toBeNull()
    expect((await embedding('learnedEmbeds.bin'))?.token).not.toBeNull()
    expect(await inspectFile(fixture('textual_inversion/sdxl.safetensors'))).toMatchObject({
      refusal: 'its vectors are for SDXL',
    })
  })

  it('tells arrays of NumPy', async () => {
    expect(await inspectFile(fixture('torch_files/arrays.npz'))).toMatchObject({ format: 'npz', kind: 'arrays' })
  })

  it('names another family and refuses it', async () => {
    const path = await place('xl.safetensors')
    await writeSafetensors(path, [zerosOf('conditioner.embedders.1.model.ln_final.weight', [4])])
    const report = await inspectFile(path)
    expect(report).toMatchObject({ readable: true, kind: 'foreign', description: 'SDXL base' })
    expect(report.refusal).toContain('SDXL base')
  })

  it.each([
    ['page.safetensors', '<!doctype html><title>404</title>', 'a web page'],
    ['empty.safetensors', '', 'an empty file'],
    ['pointer.ckpt', 'version https://git-lfs.github.com/spec/v1\n', 'a git-lfs pointer'],
    ['noise.safetensors', 'no model at all', 'not a safetensors file'],
  ])('reports %s as unreadable, and throws nothing', async (name, text, problem) => {
    const path = await place(name)
    await writeFile(path, text)
    const report = await inspectFile(path)
    expect(report.readable).toBe(false)
    expect(report.problem).toContain(problem)
  })

  it('reports a file that is cut short, a legacy one and a hostile one as unreadable', async () => {
    const path = await saveTinyCheckpoint(small1)
    await truncate(path, 100_000)
    expect((await inspectFile(path)).problem).toContain('cut short')
    for (const name of ['legacy.ckpt', 'hostileRoot.pt'])
      expect(await inspectFile(fixture(`torch_files/${name}`))).toMatchObject({ readable: false })
  })

  it('throws for a file that is not there, and nothing else', async () => {
    await expect(inspectFile(await place('nothing.ckpt'))).rejects.toThrow(IoError)
  })

  it('names a missing tensor and the nearest there is', async () => {
    const key = 'model.diffusion_model.input_blocks.1.0.emb_layers.1.bias'
    const path = await changedCopy(await saveTinyCheckpoint(small1), {
      change: (tensor) => (tensor.name === key ? null : tensor),
    })
    const { readable, refusal } = await inspectFile(path)
    expect(readable).toBe(true)
    expect(refusal).toContain(`"${key}" is missing (the nearest there is "`)
  })
})

describe('what is suspicious', () => {
  const findings = async (path: string): Promise<readonly string[]> =>
    (await inspectFile(path)).suspicious.map(({ what }) => what)

  it('is a pickle that asks for more than tensors', async () => {
    const report = await inspectFile(fixture('torch_files/hostile.pt'))
    expect(report.suspicious.map(({ what }) => what)).toContain('pickledObjects')
  })

  it('are extensions, types, empty tensors, names and metadata out of the ordinary', async () => {
    const path = await place('odd.safetensors')
    await writeTorchFile(path, [zerosOf('a\u001b[2Jb', [2]), zerosOf('none', [0]), zerosOf('whole', [2], 'I64')])
    expect(await findings(path)).toEqual(['extension', 'dtype', 'emptyTensors', 'names', 'unknownTensors'])
    const { suspicious } = await inspectFile(path)
    expect(suspicious.find(({ what }) => what === 'names')?.detail).toContain('"a\\u001b[2Jb"')
    const long = await place('long.safetensors')
    await writeSafetensors(long, [zerosOf('frog', [768])], { metadata: { note: 'x'.repeat(2 << 20) } })
    expect(await findings(long)).toEqual(['metadata'])
  })

  it('are tensors that no part of the model has, and those of several kinds', async () => {
    const extra = [zerosOf('betas', [3]), zerosOf('model_ema.decay', []), zerosOf('payload', [3])]
    const path = await changedCopy(await saveTinyCheckpoint(small1), { more: extra })
    const { suspicious } = await inspectFile(path)
    expect(suspicious).toEqual([{ what: 'unknownTensors', detail: '1 unknown tensors: "payload"' }])
    const mixed = await changedCopy(await saveLora(), { more: [zerosOf('model.diffusion_model.out.2.bias', [4])] })
    expect(await findings(mixed)).toEqual(['severalKinds', 'unknownTensors'])
  })

  it('are bytes of a PyTorch file that belong to no tensor', async () => {
    const path = await place('model.pt')
    await writeTorchFile(path, [zerosOf('frog', [768])], {
      under: 'state_dict',
      outer: { payload: 'x'.repeat(3 << 20) },
    })
    expect(await findings(path)).toContain('extraBytes')
  })
})
