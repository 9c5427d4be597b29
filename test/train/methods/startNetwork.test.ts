import { promises as fs } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { noGrad } from '../../../lib/autograd/tape.ts'
import { tinySd1 } from '../../../lib/models/stableDiffusion/config.ts'
import { StableDiffusion } from '../../../lib/models/stableDiffusion/stableDiffusion.ts'
import { createNetwork, type NetworkOptions } from '../../../lib/networks/createNetwork.ts'
import { writeKohyaLora } from '../../../lib/networks/kohyaLora.ts'
import { readLora } from '../../../lib/networks/loraFile.ts'
import { mergeLora } from '../../../lib/networks/mergeLora.ts'
import type { BranchNetwork } from '../../../lib/networks/network.ts'
import { accumulate } from '../../../lib/ops/accumulate.ts'
import { randomNormal, tensor } from '../../../lib/tensor/create.ts'
import { scope } from '../../../lib/tensor/scope.ts'
import { loraParameterGroups } from '../../../lib/train/methods/parameterGroups.ts'
import { type NetworkStart, startNetwork } from '../../../lib/train/methods/startNetwork.ts'
import { baselineBuffers, liveBuffers } from '../../support/device.ts'
import { makeFolder } from '../../support/pictures.ts'
import { formulaWeights } from '../../support/tinyModels.ts'

const prefixes = { unet: 'unet', textEncoder: 'text_encoder', vae: 'vae' } as const
const fresh = (): StableDiffusion => new StableDiffusion(tinySd1, (part) => formulaWeights(prefixes[part]))
const plain: NetworkStart = { dim: null, alpha: null, dropout: null, trainUnet: true, trainTextEncoder: true, seed: 1 }

async function outputOf({ unet }: StableDiffusion): Promise<Float32Array> {
  const result = noGrad(() =>
    scope(() => {
      const context = randomNormal([1, 77, 32], { seed: 3 })
      return unet.forward(randomNormal([1, 8, 8, 4], { seed: 5 }), tensor([500], [1]), context)
    }),
  )
  const values = (await result.read()) as Float32Array
  result.dispose()
  return values
}

let [folder, lora, loha] = ['', '', '']
beforeAll(async () => {
  folder = await makeFolder()
  const models = fresh()
  const save = async (name: string, options: NetworkOptions): Promise<string> => {
    const network = createNetwork(models, options)
    for (const { master } of network.parameters())
      scope(() => accumulate(master, tensor(new Float32Array(master.size).fill(0.01), master.shape)))
    const path = join(folder, name)
    await writeKohyaLora(path, await network.toKohya(), { metadata: {} })
    network.dispose()
    return path
  }
  lora = await save('lora.safetensors', { kind: 'lora', rank: 3, alpha: 1.5, convRank: 2, convAlpha: 0.5, seed: 2 })
  loha = await save('loha.safetensors', { kind: 'loha', rank: 2, preset: 'attn-mlp', seed: 2 })
  models.dispose()
})
afterAll(() => fs.rm(folder, { recursive: true, force: true }))

/** Starts a network, looks at it, and ends it. */
async function started<T>(
  options: Partial<NetworkStart>,
  look: (network: BranchNetwork, models: StableDiffusion, notes: readonly string[]) => Promise<T> | T,
): Promise<T> {
  const models = fresh()
  try {
    const { network, notes } = await startNetwork(models, { ...plain, ...options })
    try {
      return await look(network as BranchNetwork, models, notes)
    } finally {
      network.dispose()
    }
  } finally {
    models.dispose()
  }
}

describe('the network of a training', () => {
  it('is a LoRA of rank 4 and alpha 1 by default, whose files say that nothing was given', async () => {
    await started({}, (network) => {
      expect(network.facts).toEqual({ module: 'networks.lora', dim: null, alpha: null, dropout: null })
      expect(network.modules[0]).toMatchObject({ rank: 4, alpha: 1, integerAlpha: true })
    })
    await started({ dim: 2, alpha: 2, dropout: 0.1, trainTextEncoder: false }, (network) => {
      expect(network.facts).toEqual({ module: 'networks.lora', dim: 2, alpha: 2, dropout: 0.1 })
      expect(network.modules).toHaveLength(192)
      expect(network.modules[0]!.branch.scale).toBe(1)
    })
  })

  it('takes the modules, ranks and alphas of a file, keeps dropouts, and drops nothing of the file', async () => {
    const choice = { kind: 'lora', moduleDropout: 0.5 } as const
    const baseline = await baselineBuffers()
    await started({ weights: lora, dimFromWeights: true, choice, dropout: 0.3 }, async (network, models) => {
      const file = await readLora(lora, tinySd1)
      expect(network.modules.map(({ rank, alpha }) => [rank, alpha])).toEqual(
        file.modules.map(({ rank, alpha }) => [rank, alpha]),
      )
      await file.close()
      const drawn = await outputOf(models)
      network.setStep(1)
      expect(await outputOf(models)).not.toEqual(drawn)
      network.setTraining(false)
      const quiet = await outputOf(models)
      expect(quiet).not.toEqual(drawn)
      network.setStep(2)
      expect(await outputOf(models)).toEqual(quiet)
    })
    expect(await liveBuffers()).toBe(baseline)
  })

  it('goes on as DyLoRA from a file of LoRA, and as LoHa from one of LoHa', async () => {
    const dylora = { kind: 'dylora', unit: 1 } as const
    await started({ weights: lora, dimFromWeights: true, choice: dylora }, (network) => {
      expect(network.facts.module).toBe('networks.dylora')
      expect(network.parameters()[1]!.name).toMatch(/\.lora_B\.0$/)
    })
    await started({ weights: loha, dimFromWeights: true, choice: { kind: 'loha' } }, (network) => {
      expect(network.modules).toHaveLength(210)
      expect(network.parameters()[0]!.name).toMatch(/\.hada_w1_a$/)
    })
    const wrong = started({ weights: loha, dimFromWeights: true }, () => {})
    await expect(wrong).rejects.toThrow('--network_module asks for lora, found loha')
  })

  it('starts from the values of a file, and says what it did not use', async () => {
    await started({ weights: lora, dim: 3 }, (network, _models, notes) => {
      expect(network.modules[0]).toMatchObject({ alpha: 1.5, branch: { scale: 0.5 } })
      expect(notes.join('\n')).toMatch(/^85 modules of .*lora\.safetensors have no place in the network: down_blocks/)
    })
    const choice = { kind: 'lora', convRank: 2, convAlpha: 0.5 } as const
    await started({ weights: lora, dim: 3, choice }, (_network, _models, notes) => expect(notes).toEqual([]))
    await expect(started({ weights: lora, dim: 3, alpha: 3 }, () => {})).rejects.toThrow(
      'shall have the alpha 3, the file says 1.5',
    )
    await expect(started({ weights: lora, dim: 8 }, () => {})).rejects.toThrow('dim_from_weights')
  })

  it('stands beside a model with other files merged into it', async () => {
    const expected = fresh()
    for (const [path, multiplier] of [
      [lora, 0.5],
      [loha, 1],
    ] as const) {
      const file = await readLora(path, tinySd1)
      await mergeLora(expected, file, { multiplier })
      await file.close()
    }
    const output = await outputOf(expected)
    expected.dispose()
    await started({ baseWeights: [lora, loha], baseWeightsMultiplier: [0.5] }, async (_network, models, notes) => {
      expect(await outputOf(models)).toEqual(output)
      expect(notes).toHaveLength(2)
      expect(notes[1]).toMatch(/^merged .*loha\.safetensors into 210 layers of the model, multiplied by 1$/)
    })
    const more = started({ baseWeights: [lora], baseWeightsMultiplier: [1, 1] }, () => {})
    await expect(more).rejects.toThrow('has 2 numbers for 1 files')
  })

  it('is refused where options contradict each other, with nothing left behind', async () => {
    const baseline = await baselineBuffers()
    await expect(started({ dimFromWeights: true }, () => {})).rejects.toThrow(
      '--dim_from_weights needs --network_weights',
    )
    await expect(started({ trainUnet: false, trainTextEncoder: false }, () => {})).rejects.toThrow('nothing is left')
    await expect(started({ weights: lora, dim: 8 }, () => {})).rejects.toThrow()
    expect(await liveBuffers()).toBe(baseline)
  })
})

describe('the groups of a network', () => {
  it('leave frozen blocks out, and tell the two matrices of DyLoRA apart', async () => {
    const blockWeights = Array.from({ length: 25 }, (_, i) => (i === 12 ? 0 : 1))
    const rates = { learningRate: 1, unetLearningRate: null, textEncoderLearningRate: null }
    await started({ weights: lora, dimFromWeights: true, blockWeights }, (network) => {
      const names = loraParameterGroups(network, { ...rates, blockWeights }).map(({ name }) => name)
      expect(names).toContain('unet_block11')
      expect(names).not.toContain('unet_block12')
    })
    await started({ choice: { kind: 'dylora', unit: 2 } }, (network) => {
      const groups = loraParameterGroups(network, { ...rates, loraPlus: { unet: 4, textEncoder: 1 } })
      expect(groups.map(({ name, learningRate }) => [name, learningRate])).toEqual([
        ['textencoder', 1],
        ['unet', 1],
        ['unet plus', 4],
      ])
      expect(groups[2]!.params.every(({ name }) => /lora_B\.\d$/.test(name))).toBe(true)
    })
  })
})
