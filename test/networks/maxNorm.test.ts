import { describe, expect, it } from 'vitest'
import { blankBranch, fillBranch } from '../../lib/networks/attachModules.ts'
import { Chance } from '../../lib/networks/chance.ts'
import { placeOf } from '../../lib/networks/layers.ts'
import { fitModule, kindOf, scaleOf } from '../../lib/networks/moduleShapes.ts'
import { BranchNetwork, type NetworkModule } from '../../lib/networks/network.ts'
import { readStored } from '../../lib/networks/networkBranch.ts'
import type { Registry } from '../../lib/nn/weights.ts'
import { contiguous } from '../../lib/ops/contiguous.ts'
import { permute } from '../../lib/ops/permute.ts'
import { scope } from '../../lib/tensor/scope.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { type Digest, expectDigest } from '../support/digest.ts'
import { loadFixture } from '../support/fixtureCases.ts'
import { fixture, makeLayer, values } from './layerFixture.ts'

interface NormsFixture {
  readonly maxNorm: number
  readonly modules: readonly { name: string; layer: string; scale: number; alpha: number }[]
  readonly report: readonly [scaled: number, mean: number, largest: number]
  readonly after: Readonly<Record<string, Digest>>
  readonly lycoris: readonly {
    readonly kind: string
    readonly layer: string
    readonly norm: number
    readonly shapes: Readonly<Record<string, readonly number[]>>
    readonly delta: Digest
    /** Empty where the reference keeps a factor of its own instead. */
    readonly after: Readonly<Record<string, Digest>>
  }[]
}

const norms = loadFixture<NormsFixture>('network_modules/norms.json')
const facts = { module: 'test', dim: null, alpha: null, dropout: null }

/** A module whose tensors have the shapes and values given. */
function moduleOf(
  name: string,
  layerName: string,
  alpha: number,
  shapes: Readonly<Record<string, readonly number[]>>,
  scale: number,
): { module: NetworkModule; registry: Registry } {
  const { layer, registry } = makeLayer(layerName)
  const fit = fitModule(placeOf(layer), kindOf(Object.keys(shapes))!, shapes)
  if ('misfit' in fit) throw new Error(fit.misfit)
  const branch = blankBranch(placeOf(layer), fit.sizes, scaleOf(fit.sizes, alpha))
  fillBranch(branch, (suffix) => values(`norms/${name}/${suffix}`, shapes[suffix]!, scale))
  const base = { part: 'unet', path: name, rank: 2, alphaGiven: true, integerAlpha: false, frozen: false } as const
  return { module: { ...base, name, layer, branch, alpha }, registry }
}

describe('limiting the norms of modules', () => {
  it("does what sd-scripts' scale_weight_norms does, and reports its three numbers", async () => {
    const before = await baselineBuffers()
    const made = norms.modules.map(({ name, layer, scale, alpha }) => {
      const shapes = Object.fromEntries(
        ['lora_down.weight', 'lora_up.weight'].map((suffix) => [suffix, norms.after[`${name}.${suffix}`]!.shape]),
      )
      return moduleOf(name, layer, alpha, shapes, scale)
    })
    const modules = made.map(({ module }) => module)
    const network = new BranchNetwork(modules, { facts, chance: new Chance(1), maxNorm: norms.maxNorm })
    const report = await network.afterStep()
    const [scaled, mean, largest] = norms.report
    expect(report!['max_norm/keys_scaled']).toBe(scaled)
    expect(report!['max_norm/average_key_norm']).toBeCloseTo(mean, 6)
    expect(report!['max_norm/max_key_norm']).toBeCloseTo(largest, 6)
    for (const { name, branch } of modules)
      for (const stored of branch.stored)
        expectDigest(await readStored(stored), norms.after[`${name}.${stored.suffix}`]!, { rms: 1e-6, max: 1e-5 })
    // What is small enough by now stays as it is, to the last bits.
    const first = await Promise.all(modules.map(({ branch }) => readStored(branch.stored[0]!)))
    await network.afterStep()
    for (const [i, { branch }] of modules.entries()) {
      const again = await readStored(branch.stored[0]!)
      expect(again.every((value, j) => Math.abs(value - first[i]![j]!) <= 1e-6 * Math.abs(value))).toBe(true)
    }
    network.dispose()
    for (const { registry } of made) registry.dispose()
    expect(await liveBuffers()).toBe(before)
  })

  it.each(norms.lycoris)('does what LyCORIS does to $kind', async ({ kind, layer, norm, shapes, delta, after }) => {
    const { alpha } = fixture.cases.find((entry) => entry.kind === kind && entry.layer === layer)!
    const { module, registry } = moduleOf(kind, layer, alpha, shapes, 1.5)
    const network = new BranchNetwork([module], { facts, chance: new Chance(1), maxNorm: 0.75 })
    const report = await network.afterStep()
    expect(report!['max_norm/keys_scaled']).toBe(1)
    expect(report!['max_norm/max_key_norm']).toBeCloseTo(norm, 6)
    const change = scope(() => contiguous(permute(module.branch.delta(), { axes: [0, 3, 1, 2] })))
    expectDigest((await change.read()) as Float32Array, delta, { rms: 1e-6, max: 1e-5 })
    for (const stored of module.branch.stored)
      if (stored.suffix in after)
        expectDigest(await readStored(stored), after[stored.suffix]!, { rms: 1e-6, max: 1e-5 })
    change.dispose()
    network.dispose()
    registry.dispose()
  })

  it('is left out where no limit is given', () => {
    expect(new BranchNetwork([], { facts, chance: new Chance(1), maxNorm: 1 }).afterStep()).toBeNull()
    const { module, registry } = moduleOf(
      'a',
      'linear',
      1,
      { 'lora_down.weight': [2, 24], 'lora_up.weight': [40, 2] },
      1,
    )
    const network = new BranchNetwork([module], { facts, chance: new Chance(1) })
    expect(network.afterStep()).toBeNull()
    expect(() => new BranchNetwork([], { facts, chance: new Chance(1), maxNorm: -1 })).toThrow(
      'maxNorm must be a number',
    )
    network.dispose()
    registry.dispose()
  })
})
