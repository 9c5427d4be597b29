import { createHash } from 'node:crypto'
import { afterAll, describe, expect, it } from 'vitest'
import { type StableDiffusionConfig, sd1, sd2, tinySd1 } from '../../lib/models/stableDiffusion/config.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { addon } from '../../lib/native/load.ts'
import { createNetwork } from '../../lib/networks/createNetwork.ts'
import { LoraNetwork } from '../../lib/networks/lora.ts'
import type { BranchNetwork } from '../../lib/networks/network.ts'
import type { WeightSource } from '../../lib/nn/weights.ts'
import { full } from '../../lib/tensor/create.ts'
import { wrap } from '../../lib/tensor/tensor.ts'
import { readNetworkArguments } from '../../lib/train/options/networkArguments.ts'
import { loadFixture } from '../support/fixtureCases.ts'
import { formulaWeights } from '../support/tinyModels.ts'

interface ModuleList {
  readonly module: string
  readonly name: string
  readonly dim: number
  readonly alpha: number
  readonly args: Readonly<Record<string, string>>
  readonly count: number
  readonly ranks: Readonly<Record<string, number>>
  readonly first: readonly string[]
  readonly hash: string
}

const { lists } = loadFixture<{ readonly lists: readonly ModuleList[] }>('network_modules/modules.json')

/** Every weight is one number seen in its shape: models of full size that take no memory. */
const one = full([1], 0)
const shapeless: WeightSource = ({ shape }) =>
  wrap(
    addon.view(
      one.handle,
      shape,
      shape.map(() => 0),
      0,
    ),
  )

function modelOf(config: StableDiffusionConfig): StableDiffusion {
  return new StableDiffusion(config, () => shapeless)
}

describe('the modules of a network', () => {
  const prefixes = { unet: 'unet', textEncoder: 'text_encoder', vae: 'vae' } as const
  const models = new StableDiffusion(tinySd1, (part) => formulaWeights(prefixes[part]))
  afterAll(() => models.dispose())

  it.each(lists)('are those of $module, in its order, with its ranks and alphas: $name', (list) => {
    const texts = Object.entries(list.args).map(([key, value]) => `${key}=${value}`)
    const { facts, problems } = readNetworkArguments(texts, { module: list.module, dim: list.dim })
    expect(problems).toEqual([])
    const { choice = { kind: 'lora' }, blockWeights = null } = facts
    // The reference trains text encoders whatever the preset says of it.
    const parts = { textEncoder: models.textEncoder, unet: models.unet }
    const common = { rank: list.dim, alpha: list.alpha, blockWeights, seed: 1 }
    const network = createNetwork(parts, { ...choice, ...common })
    const alphaOf = (alpha: number): string => (Number.isInteger(alpha) ? `${alpha}.0` : String(alpha))
    const lines = network.modules.map(({ name, rank, alpha }) => `${name} ${rank} ${alphaOf(alpha)}`)
    const ranks = new Map<string, number>()
    for (const { rank } of network.modules) ranks.set(String(rank), (ranks.get(String(rank)) ?? 0) + 1)
    expect(Object.fromEntries(ranks)).toEqual(list.ranks)
    expect(lines.slice(0, 1)).toEqual(list.first)
    expect(createHash('sha256').update(lines.join('\n')).digest('hex')).toBe(list.hash)
    expect(lines).toHaveLength(list.count)
    network.dispose()
  })
})

describe('a LoRA of the published models', () => {
  const counts = (network: BranchNetwork): readonly number[] => {
    const part = (name: string): number => network.modules.filter((module) => module.part === name).length
    return [network.modules.length, part('textEncoder'), part('unet')]
  }

  it('has 264 modules of 792 tensors beside 1.x, 330 beside 2.x, and 350 with convolutions', async () => {
    const models = modelOf(sd1)
    const plain = new LoraNetwork(models, { rank: 4, alpha: 1, seed: 1 })
    expect(counts(plain)).toEqual([264, 72, 192])
    const tensors = plain.modules.reduce((sum, { branch }) => sum + branch.stored.length + 1, 0)
    expect(tensors).toBe(792)
    expect(plain.parameters()).toHaveLength(528)
    plain.dispose()
    const wide = new LoraNetwork(models, { rank: 4, convRank: 2, seed: 1 })
    expect(counts(wide)).toEqual([350, 72, 278])
    const rankOf = (end: string): number | null => wide.modules.find(({ name }) => name.endsWith(end))!.rank
    expect([rankOf('resnets_0_conv1'), rankOf('time_emb_proj'), rankOf('conv_shortcut')]).toEqual([2, 4, 4])
    // The middle comes last, as it was registered.
    expect(wide.modules.at(-1)!.name).toBe('lora_unet_mid_block_resnets_1_conv2')
    wide.dispose()
    models.dispose()
    const second = modelOf(sd2)
    const other = new LoraNetwork(second, { rank: 1, seed: 1 })
    expect(counts(other)).toEqual([330, 138, 192])
    other.dispose()
    second.dispose()
  })
})
