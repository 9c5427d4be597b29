import { readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { parseLoraArgument } from '../../lib/cli/mergeLora.ts'
import { run } from '../../lib/cli/run.ts'
import { writeSafetensors } from '../../lib/io/safetensors.ts'
import { layerShapes } from '../../lib/models/stableDiffusion/layerShapes.ts'
import { readTextualInversion, writeTextualInversion } from '../../lib/networks/textualInversion.ts'
import { writeLora } from '../../lib/networks/writeLora.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { changedCopy, readTensors, saveTinyCheckpoint, small1, zerosOf } from '../support/checkpoints.ts'
import { makeFolder } from '../support/pictures.ts'
import { makeTestHost } from './testHost.ts'

interface Result {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function runWith(...args: string[]): Promise<Result> {
  const host = makeTestHost()
  const code = await run(args, host)
  return { code, out: host.stdout.text, err: host.stderr.text }
}

let [model, lora, folder] = ['', '', '']
beforeAll(async () => {
  folder = await makeFolder()
  model = await saveTinyCheckpoint(small1)
  lora = join(folder, 'lora.safetensors')
  const modules = layerShapes(small1)
    .slice(0, 20)
    .map((layer) => {
      const [out, inFeatures, ...kernel] = layer.shape as readonly [number, number, ...number[]]
      const ones = (shape: readonly number[]) => ({
        shape,
        read: async () => new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5),
      })
      const up = ones([out, 1, ...kernel.map(() => 1)])
      const weights = { 'lora_down.weight': ones([1, inFeatures, ...kernel]), 'lora_up.weight': up }
      return { kind: 'lora' as const, layer, rank: 1, alpha: 1, weights }
    })
  await writeLora(lora, modules, { config: small1, metadata: { ss_output_name: 'frog', ss_seed: '7' } })
})

const at = (name: string): string => join(folder, name)

describe('convert', () => {
  it('turns a file into a folder and back', async () => {
    const there = await runWith('convert', model, at('diffusers'))
    expect(there).toMatchObject({ code: exitCodes.ok })
    expect(there.out).toBe(`wrote ${at('diffusers')}: Stable Diffusion 1.x as diffusers_safetensors\n`)
    expect(there.err).toMatch(/writing: .* of /)
    const back = await runWith('convert', at('diffusers'), at('back.safetensors'), '--save_model_as', 'safetensors')
    expect(back.code).toBe(exitCodes.ok)
    expect(await readFile(at('back.safetensors'))).toEqual(await readFile(model))
  })

  it('casts, and does not overwrite unless told to', async () => {
    const args = ['convert', model, at('half.ckpt'), '--save_precision', 'fp16']
    expect((await runWith(...args)).code).toBe(exitCodes.ok)
    expect((await readTensors(at('half.ckpt'))).tensors.get('model.diffusion_model.out.2.bias')!.dtype).toBe('F16')
    const again = await runWith(...args)
    expect(again.code).toBe(exitCodes.io)
    expect(again.err).toContain('(--overwrite)')
    expect((await runWith(...args, '--overwrite')).code).toBe(exitCodes.ok)
  })

  it('rewrites LoRA files in other styles and containers', async () => {
    const [source, path] = [at('kohya.safetensors'), at('diffusersStyle.pt')]
    const name = 'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k'
    const weights = [zerosOf(`${name}.lora_down.weight`, [4, 768]), zerosOf(`${name}.lora_up.weight`, [320, 4])]
    await writeSafetensors(source, weights)
    const { code, out } = await runWith('convert', source, path, '--lora_style', 'diffusers')
    expect({ code, out }).toEqual({ code: 0, out: `wrote ${path}: LoRA of 1 module in the style diffusers\n` })
    expect([...(await readTensors(path)).tensors.keys()].some((key) => key.endsWith('.lora_A.weight'))).toBe(true)
  })

  it('rewrites textual inversions in other containers', async () => {
    const rows = { shape: [2, 768] as const, values: new Float32Array(2 * 768).fill(0.25) }
    await writeTextualInversion(at('frog.pt'), rows)
    expect(await runWith('convert', at('frog.pt'), at('frog.safetensors'))).toMatchObject({ code: exitCodes.ok })
    expect(await readTextualInversion(at('frog.safetensors'), { hiddenSize: 768 })).toMatchObject({ rows })
  })

  it.each([
    [['--save_model_as', 'difusers'], exitCodes.usage, 'Allowed choices are safetensors, ckpt, diffusers'],
    [['--save_precison', 'fp16'], exitCodes.usage, 'Did you mean --save_precision?'],
    [['--lora_style', 'kohya'], exitCodes.usage, 'the source is no LoRA'],
    [['--v2'], exitCodes.checkpoint, '--v2 was given'],
  ])('refuses %j', async (args, code, message) => {
    const result = await runWith('convert', model, at('never'), ...args)
    expect(result).toMatchObject({ code, out: '' })
    expect(result.err).toContain(message)
    expect(result.err).not.toMatch(/\n\s+at /)
  })
})

describe('unusable sources', () => {
  const key = 'model.diffusion_model.input_blocks.1.0.emb_layers.1.bias'
  const sources: Readonly<Record<string, () => Promise<string>>> = {
    'a missing key': () => changedCopy(model, { change: (tensor) => (tensor.name === key ? null : tensor) }),
    'another family': async () => {
      await writeSafetensors(at('xl.safetensors'), [zerosOf('conditioner.embedders.1.model.ln_final.weight', [4])])
      return at('xl.safetensors')
    },
    'a web page': async () => {
      await writeFile(at('page.safetensors'), '<!DOCTYPE html><p>404')
      return at('page.safetensors')
    },
    'an empty file': async () => {
      await writeFile(at('empty.safetensors'), '')
      return at('empty.safetensors')
    },
    'a file cut short': async () => {
      const path = await changedCopy(model, {})
      await truncate(path, 50_000)
      return path
    },
  }
  it.each([
    ['a missing key', `"${key}" is missing (the nearest there is "`],
    ['another family', 'SDXL base'],
    ['a web page', 'a web page'],
    ['an empty file', 'an empty file'],
    ['a file cut short', 'cut short'],
  ])('have typed errors and a code of their own in every command: %s', async (what, message) => {
    const path = await sources[what]!()
    for (const args of [
      ['convert', path, at('never.ckpt')],
      ['merge-lora', path, '--lora', lora, '--output', at('never.ckpt')],
      ['inspect', path],
    ]) {
      const { code, out, err } = await runWith(...args)
      expect(code, args[0]).toBe(exitCodes.checkpoint)
      expect(out + err, args[0]).toContain(message)
      expect(err).not.toMatch(/\n\s+at /)
    }
  })
})

describe('merge-lora', () => {
  it('merges files with their multipliers', async () => {
    const path = at('merged.ckpt')
    const { code, out } = await runWith('merge-lora', model, '--lora', `${lora}:0.5`, lora, '--output', path)
    expect(code).toBe(exitCodes.ok)
    expect(out.split('\n')).toEqual([
      `merged ${lora} (times 0.5) into 20 layers`,
      `merged ${lora} (times 1) into 20 layers`,
      `wrote ${path}: Stable Diffusion 1.x as ckpt`,
      '',
    ])
  })

  it('reads a multiplier after the last colon, where there is a number', () => {
    expect(parseLoraArgument('a.safetensors:-0.5')).toEqual({ path: 'a.safetensors', multiplier: -0.5 })
    expect(parseLoraArgument('a:b.safetensors')).toEqual({ path: 'a:b.safetensors' })
    expect(parseLoraArgument('a.safetensors:1e-1')).toEqual({ path: 'a.safetensors', multiplier: 0.1 })
  })

  it('asks for LoRA files and a target', async () => {
    expect(await runWith('merge-lora', model, '--output', at('x.ckpt'))).toMatchObject({ code: exitCodes.usage })
    expect(await runWith('merge-lora', model, '--lora', lora)).toMatchObject({ code: exitCodes.usage })
  })
})

describe('inspect', () => {
  it('shows what a model is', async () => {
    const { code, out } = await runWith('inspect', model)
    expect(code).toBe(exitCodes.ok)
    expect(out).toContain('  kind          Stable Diffusion 1.x\n')
    expect(out).toMatch(/ {2}format {8}safetensors, .* MiB\n/)
    expect(out).toMatch(/ {2}unet {10}[\d,]+ numbers in \d+ tensors, F32\n/)
    expect(out).not.toContain('suspicious')
  })

  it('prints JSON for programs, a list for several files', async () => {
    const one = JSON.parse((await runWith('inspect', '--json', model)).out)
    expect(one).toMatchObject({ kind: 'stableDiffusion', readable: true, refusal: null })
    const both = JSON.parse((await runWith('inspect', model, lora, '--json')).out)
    expect(both).toMatchObject([{ kind: 'stableDiffusion' }, { kind: 'lora', lora: { style: 'kohya' } }])
  })

  it('lets no control character of a file reach the terminal', async () => {
    await writeSafetensors(at('esc.safetensors'), [zerosOf('a\u001b[2J', [2])], {
      metadata: { 'x\u001b[2J': 'y\u0007' },
    })
    const shown = [await runWith('inspect', at('esc.safetensors')), await runWith('metadata', at('esc.safetensors'))]
    for (const { out, err } of shown) for (const c of ['\u001b', '\u0007']) expect(out + err).not.toContain(c)
  })

  it('has the code for files when there is none', async () => {
    expect(await runWith('inspect', at('nothing'))).toMatchObject({ code: exitCodes.io, out: '' })
  })
})

describe('metadata', () => {
  it('shows all texts, one as it is, or JSON', async () => {
    expect((await runWith('metadata', lora)).out).toContain('ss_output_name: frog\nss_seed: 7\n')
    expect((await runWith('metadata', lora, '--key', 'ss_output_name')).out).toBe('frog\n')
    expect(JSON.parse((await runWith('metadata', lora, '--json')).out)).toMatchObject({ ss_seed: '7' })
  })

  it('names the nearest text for one that is not there', async () => {
    const { code, err } = await runWith('metadata', lora, '--key', 'ss_sead')
    expect(code).toBe(exitCodes.checkpoint)
    expect(err).toContain('Did you mean "ss_seed"?')
  })
})
