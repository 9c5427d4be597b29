import { promises as fs } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { noGrad } from '../../lib/autograd/tape.ts'
import { inspectFile } from '../../lib/checkpoints/inspect.ts'
import { tinySd1 } from '../../lib/models/stableDiffusion/config.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { attachLoraFile } from '../../lib/networks/attachLora.ts'
import { convertLora } from '../../lib/networks/convertLora.ts'
import { createNetwork, type NetworkOptions } from '../../lib/networks/createNetwork.ts'
import { readKohyaLora, writeKohyaLora } from '../../lib/networks/kohyaLora.ts'
import { attachLora } from '../../lib/networks/lora.ts'
import { readLora } from '../../lib/networks/loraFile.ts'
import { mergeLora } from '../../lib/networks/mergeLora.ts'
import type { BranchNetwork } from '../../lib/networks/network.ts'
import { loadNetworkWeights, networkFromFile } from '../../lib/networks/networkFromFile.ts'
import { accumulate } from '../../lib/ops/accumulate.ts'
import { mseLoss } from '../../lib/ops/mseLoss.ts'
import { randomNormal, tensor } from '../../lib/tensor/create.ts'
import { scope } from '../../lib/tensor/scope.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { makeFolder } from '../support/pictures.ts'
import { formulaWeights } from '../support/tinyModels.ts'

const prefixes = { unet: 'unet', textEncoder: 'text_encoder', vae: 'vae' } as const
const fresh = (): StableDiffusion => new StableDiffusion(tinySd1, (part) => formulaWeights(prefixes[part]))
const models = fresh()
afterAll(() => models.dispose())

const ids = Int32Array.from({ length: 77 }, (_, i) => (i * 613) % 49408)

function forward({ unet, textEncoder }: StableDiffusion) {
  const context = textEncoder.encode(tensor(ids, [1, 77]))
  return unet.forward(randomNormal([1, 8, 8, 4], { seed: 5 }), tensor([500], [1]), context)
}

async function outputOf(model: StableDiffusion): Promise<Float32Array> {
  const result = noGrad(() => scope(() => forward(model)))
  const values = (await result.read()) as Float32Array
  result.dispose()
  return values
}

/** One pass with gradients, and a step against them. */
function learn(network: BranchNetwork, pass: number): void {
  network.setStep(pass)
  scope(() => backward(mseLoss(forward(models), randomNormal([1, 8, 8, 4], { seed: 6 }), null)))
  for (const { master } of network.parameters()) {
    if (master.grad === null) continue
    const { grad } = master
    scope(() => accumulate(master, tensor(new Float32Array(master.size).fill(1e-3), master.shape)))
    accumulate(master, grad)
    grad.dispose()
    master.grad = null
  }
}

const kinds: readonly (readonly [name: string, options: NetworkOptions])[] = [
  ['LoRA', { kind: 'lora', rank: 3, alpha: 2, seed: 1 }],
  ['LoRA with convolutions', { kind: 'lora', rank: 3, convRank: 2, convAlpha: 0.5, seed: 1 }],
  ['DyLoRA', { kind: 'dylora', rank: 4, unit: 2, convolutions: true, seed: 1 }],
  ['LoCon', { kind: 'locon', rank: 2, seed: 1 }],
  ['LoHa', { kind: 'loha', rank: 2, alpha: 1.5, seed: 1 }],
  ['LoKr', { kind: 'lokr', rank: 2, convRank: 1, decomposeBoth: true, seed: 1 }],
  ['LoKr of whole matrices', { kind: 'lokr', rank: 2, fullMatrix: true, factor: 4, seed: 1 }],
]

let folder: string
beforeAll(async () => {
  folder = await makeFolder()
})
afterAll(() => fs.rm(folder, { recursive: true, force: true }))

let files = 0

/** A network that has learnt something, and its file. */
async function trained(options: NetworkOptions): Promise<{ network: BranchNetwork; path: string }> {
  const network = createNetwork(models, options)
  for (const pass of [0, 1]) learn(network, pass)
  network.setTraining(false)
  const path = join(folder, `${files++}.safetensors`)
  await writeKohyaLora(path, await network.toKohya(), { metadata: {} })
  return { network, path }
}

describe.each(kinds)('%s', (_name, options) => {
  it('changes nothing before it has learnt, and leaves nothing behind', async () => {
    const baseline = await baselineBuffers()
    const plain = await outputOf(models)
    const network = createNetwork(models, options)
    const beside = await outputOf(models)
    const largest = Math.max(...plain.map(Math.abs))
    expect(Math.max(...plain.map((value, i) => Math.abs(value - beside[i]!)))).toBeLessThan(2e-4 * largest)
    learn(network, 0)
    network.dispose()
    expect(await outputOf(models)).toEqual(plain)
    expect(await liveBuffers()).toBe(baseline)
  })

  it('is the same when it is read back from its file: beside the layers, as a network, tensor by tensor, merged', async () => {
    const baseline = await baselineBuffers()
    const plain = await outputOf(models)
    const { network, path } = await trained(options)
    const live = await outputOf(models)
    expect(live).not.toEqual(plain)
    const { modules } = await readKohyaLora(path)
    for (const { name, alpha, weights } of await network.toKohya())
      expect(modules.get(name)).toEqual({ name, alpha, weights })
    const detach = network.attachSaved([...modules.values()])
    expect(await outputOf(models)).toEqual(live)
    detach()
    const parts = network.modules.map(({ part }) => part)
    network.dispose()

    const lora = await readLora(path, tinySd1)
    const again = await networkFromFile(models, lora, { seed: 9, unit: options.kind === 'dylora' ? 2 : null })
    again.setTraining(false)
    expect(await outputOf(models)).toEqual(live)
    const second = join(folder, 'again.safetensors')
    await writeKohyaLora(second, await again.toKohya(), { metadata: {} })
    again.dispose()
    expect((await readKohyaLora(second)).modules).toEqual(modules)
    for (const attach of [() => attachLora([...modules.values()], models), () => attachLoraFile(lora, models)]) {
      const detach = await attach()
      expect(await outputOf(models)).toEqual(live)
      detach()
    }
    expect(await outputOf(models)).toEqual(plain)
    expect(await liveBuffers()).toBe(baseline)

    const merged = fresh()
    expect(await mergeLora(merged, lora)).toBe(lora.modules.length)
    await lora.close()
    const output = await outputOf(merged)
    merged.dispose()
    const largest = Math.max(...live.map(Math.abs))
    expect(Math.max(...live.map((value, i) => Math.abs(value - output[i]!)))).toBeLessThan(3e-4 * largest)

    const report = await inspectFile(path)
    const kind = options.kind === 'loha' || options.kind === 'lokr' ? options.kind : 'lora'
    expect(report).toMatchObject({ refusal: null, lora: { kinds: { [kind]: parts.length } } })
    expect(report.description.toLowerCase()).toBe(kind)
    expect(report.lora!.targets.unet).toBe(parts.filter((part) => part === 'unet').length)
  })
})

describe('what is drawn by chance', () => {
  const drawing: readonly (readonly [name: string, options: NetworkOptions])[] = [
    ['LoRA', { kind: 'lora', convRank: 2, dropout: 0.3, rankDropout: 0.3, moduleDropout: 0.3, seed: 1 }],
    ['LoHa', { kind: 'loha', rank: 2, rankDropout: 0.3, moduleDropout: 0.3, seed: 1 }],
    ['LoKr', { kind: 'lokr', rank: 2, rankDropout: 0.3, moduleDropout: 0.3, seed: 1 }],
    ['DyLoRA', { kind: 'dylora', rank: 4, seed: 1 }],
  ]

  it.each(drawing)('is a function of seed and pass, and nothing in evaluation: %s', async (_name, options) => {
    const { network, path } = await trained(options)
    const quiet = await outputOf(models)
    network.setTraining(true)
    const drawn = async (pass: number): Promise<Float32Array> => {
      network.setStep(pass)
      return outputOf(models)
    }
    const first = await drawn(3)
    expect(first).not.toEqual(quiet)
    expect(await drawn(4)).not.toEqual(first)
    expect(await drawn(3)).toEqual(first)
    network.setTraining(false)
    expect(await outputOf(models)).toEqual(quiet)
    network.dispose()
    // Another network of that file and seed draws the same; of another seed, something else.
    const lora = await readLora(path, tinySd1)
    const dropouts = {
      dropout: 'dropout' in options ? options.dropout : null,
      rankDropout: 'rankDropout' in options ? options.rankDropout : null,
      moduleDropout: 'moduleDropout' in options ? options.moduleDropout : null,
    }
    for (const [seed, same] of [
      [1, true],
      [2, false],
    ] as const) {
      const unit = options.kind === 'dylora' ? 1 : null
      const again = await networkFromFile(models, lora, { ...dropouts, unit, seed })
      again.setStep(3)
      expect((await outputOf(models)).every((value, i) => value === first[i])).toBe(same)
      again.dispose()
    }
    await lora.close()
  })

  it.each(drawing)('is the same where activations are computed again: %s', async (_name, options) => {
    const gradients = async (checkpointing: boolean): Promise<(Float32Array | null)[]> => {
      models.unet.gradientCheckpointing = checkpointing
      models.textEncoder.gradientCheckpointing = checkpointing
      const network = createNetwork(models, options)
      learn(network, 0)
      network.setStep(1)
      scope(() => backward(mseLoss(forward(models), randomNormal([1, 8, 8, 4], { seed: 6 }), null)))
      const found = network
        .parameters()
        .map(async ({ master }) => master.grad && ((await master.grad.read()) as Float32Array))
      const values = await Promise.all(found)
      network.dispose()
      return values
    }
    const [kept, again] = [await gradients(false), await gradients(true)]
    expect(kept.some((gradient) => gradient?.some((value) => value !== 0))).toBe(true)
    // Modules that were left out have no gradient in either.
    expect(kept.some((gradient) => gradient === null)).toBe(true)
    expect(again).toEqual(kept)
    models.unet.gradientCheckpointing = false
    models.textEncoder.gradientCheckpointing = false
  })
})

describe('starting from a file', () => {
  it('gives a network the values, and the scale that follows from the alpha of the file', async () => {
    const { network, path } = await trained({ kind: 'lora', rank: 3, alpha: 1.5, convRank: 2, seed: 1 })
    const live = await outputOf(models)
    network.dispose()
    const lora = await readLora(path, tinySd1)
    const open = createNetwork(models, { kind: 'lora', rank: 3, convRank: 2, convAlpha: 1, seed: 5 })
    open.setTraining(false)
    expect(await loadNetworkWeights(open, lora)).toEqual({ loaded: lora.modules.length, fresh: [], unused: [] })
    expect(await outputOf(models)).toEqual(live)
    expect(new Set(open.modules.map(({ alpha, branch, rank }) => [alpha, branch.scale * rank!].join()))).toEqual(
      new Set(['1.5,1.5', '1,1']),
    )
    open.dispose()

    const attention = createNetwork(models, { kind: 'lora', rank: 3, seed: 5 })
    const { loaded, unused, fresh } = await loadNetworkWeights(attention, lora)
    expect([loaded, fresh]).toEqual([attention.modules.length, []])
    expect(unused).toHaveLength(lora.modules.length - loaded)
    attention.dispose()
    await lora.close()
  })

  it('refuses another alpha than was asked for, other ranks, another kind, and a file of nothing', async () => {
    const { network, path } = await trained({ kind: 'lora', rank: 3, alpha: 1.5, seed: 1 })
    network.dispose()
    const lora = await readLora(path, tinySd1)
    const attempt = async (options: NetworkOptions): Promise<void> => {
      const other = createNetwork(models, options)
      const before = await other.toKohya()
      await expect(loadNetworkWeights(other, lora)).rejects.toThrow(
        options.kind === 'loha'
          ? 'needs hada_w1_a'
          : options.rank === 3
            ? 'shall have the alpha 2'
            : 'dim_from_weights',
      )
      expect(await other.toKohya()).toEqual(before)
      other.dispose()
    }
    await attempt({ kind: 'lora', rank: 3, alpha: 2, seed: 1 })
    await attempt({ kind: 'lora', rank: 4, seed: 1 })
    await attempt({ kind: 'loha', rank: 3, seed: 1 })
    const nothing = createNetwork({ textEncoder: models.textEncoder }, { kind: 'lora', rank: 3, seed: 1 })
    const unet = { path: 'x', modules: lora.modules.filter(({ layer }) => layer.part === 'unet') }
    await expect(loadNetworkWeights(nothing, unet)).rejects.toThrow('no module of any layer that is trained')
    nothing.dispose()
    await lora.close()
  })

  it('keeps modules of blocks without a rate as they are, in the file and out of training', async () => {
    const { network, path } = await trained({ kind: 'lora', rank: 2, seed: 1 })
    network.dispose()
    const lora = await readLora(path, tinySd1)
    const blockWeights = Array.from({ length: 25 }, (_, i) => (i === 12 ? 0 : 1))
    const half = await networkFromFile(models, lora, { blockWeights, maxNorm: 1e-6, seed: 1 })
    const isMiddle = (name: string): boolean => name.includes('mid_block')
    expect(half.parameters().some(({ name }) => isMiddle(name))).toBe(false)
    learn(half, 0)
    await half.afterStep()
    const { modules } = await readKohyaLora(path)
    const saved = await half.toKohya()
    expect(saved).toHaveLength(modules.size)
    for (const { name, weights } of saved) {
      const same = JSON.stringify(weights) === JSON.stringify(modules.get(name)!.weights)
      expect(same, name).toBe(isMiddle(name))
    }
    half.dispose()
    await lora.close()
  })
})

describe('files of LoHa', () => {
  it('are converted between styles that know them, and refused for diffusers', async () => {
    const { network, path } = await trained({ kind: 'loha', rank: 2, seed: 1 })
    network.dispose()
    const comfy = join(folder, 'comfy.safetensors')
    await convertLora(path, comfy, { style: 'comfyui', config: tinySd1 })
    const back = join(folder, 'back.safetensors')
    await convertLora(comfy, back, { style: 'kohya', config: tinySd1 })
    const [before, after] = [await readKohyaLora(path), await readKohyaLora(back)]
    expect(after.modules).toEqual(before.modules)
    await expect(convertLora(path, comfy, { style: 'diffusers', config: tinySd1 })).rejects.toThrow(
      'diffusers has no keys for LoHa and LoKr',
    )
  })
})
