import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { noGrad } from '../../lib/autograd/tape.ts'
import { blankBranch, fillBranch } from '../../lib/networks/attachModules.ts'
import { Chance } from '../../lib/networks/chance.ts'
import { DyLoraBranch } from '../../lib/networks/dylora.ts'
import { kroneckerSizes, splitSize } from '../../lib/networks/kronecker.ts'
import { type LoraLayer, placeOf } from '../../lib/networks/layers.ts'
import { loraDelta } from '../../lib/networks/mergeLora.ts'
import { fitModule, kindOf, scaleOf } from '../../lib/networks/moduleShapes.ts'
import { type NetworkBranch, readStored } from '../../lib/networks/networkBranch.ts'
import { accumulate } from '../../lib/ops/accumulate.ts'
import { cast } from '../../lib/ops/cast.ts'
import { contiguous } from '../../lib/ops/contiguous.ts'
import { permute } from '../../lib/ops/permute.ts'
import { keep, scope } from '../../lib/tensor/scope.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { expectDigest } from '../support/digest.ts'
import { fixture, input, type LayerCase, makeLayer, moduleOf, type Outcome, outputGradient } from './layerFixture.ts'

const tolerance = { rms: 1e-6, max: 1e-5 }
/** Convolutions of stride 1 and kernel 3 take a faster algorithm, which rounds more. */
const convTolerance = { rms: 2e-5, max: 2e-4 }
const toleranceOf = ({ layer }: Outcome): typeof tolerance => (layer === 'conv3x3' ? convTolerance : tolerance)

/** The branch of a case, filled with its values. */
function branchOf(entry: LayerCase, layer: LoraLayer): NetworkBranch {
  const { weights, alpha } = moduleOf(entry)
  const shapes = Object.fromEntries(Object.entries(weights).map(([suffix, { shape }]) => [suffix, shape]))
  const kind = kindOf(Object.keys(shapes))!
  const fit = fitModule(placeOf(layer), kind, shapes)
  if ('misfit' in fit) throw new Error(fit.misfit)
  const branch = blankBranch(placeOf(layer), fit.sizes, scaleOf(fit.sizes, alpha!))
  fillBranch(branch, (suffix) => weights[suffix]!.values)
  return branch
}

/** Values in the layout of files, of something that lies as a branch's tensor does. */
async function inFile(x: Tensor, branch: NetworkBranch, suffix: string): Promise<Float32Array> {
  return readStored({ ...branch.stored.find((stored) => stored.suffix === suffix)!, tensor: x })
}

async function read(x: Tensor): Promise<Float32Array> {
  return (await x.read()) as Float32Array
}

/** The output for the case's input, and the gradients that its loss leaves behind. */
function pass(layer: LoraLayer, name: string): { x: Tensor; y: Tensor } {
  const x = keep(input(name))
  const y = scope(() => {
    const result = layer.forward(x)
    backward(result, outputGradient(name, result))
    return result
  })
  return { x, y }
}

describe('a module beside one layer', () => {
  it.each(
    fixture.cases.flatMap((entry) => {
      const forms = entry.layer === 'conv1x1' ? [false, true] : [false]
      return forms.map((asProjection) => ({ ...entry, asProjection }))
    }),
  )('computes and learns as LyCORIS does: $kind, $layer, as a projection $asProjection', async (entry) => {
    const before = await baselineBuffers()
    const { layer, registry } = makeLayer(entry.layer, entry.asProjection)
    const branch = branchOf(entry, layer)
    branch.trains = true
    layer.branch = branch
    const { x, y } = pass(layer, entry.layer)
    expectDigest(await read(y), entry.y, toleranceOf(entry))
    expectDigest(await read(x.grad!), entry.dx, toleranceOf(entry))
    expect(branch.trained.map(({ suffix }) => suffix).toSorted()).toEqual(Object.keys(entry.gradients).toSorted())
    for (const { suffix, tensor } of branch.trained)
      expectDigest(await inFile(tensor.grad!, branch, suffix), entry.gradients[suffix]!, toleranceOf(entry))
    branch.dispose()
    for (const t of [x, y]) t.dispose()
    registry.dispose()
    expect(await liveBuffers()).toBe(before)
  })

  it.each(fixture.cases)('changes the weight by what LyCORIS makes of it: $kind, $layer', async (entry) => {
    const { layer, registry } = makeLayer(entry.layer)
    const branch = branchOf(entry, layer)
    const delta = noGrad(() =>
      scope(() => {
        const change = branch.delta()
        return change.rank === 4 ? contiguous(permute(change, { axes: [0, 3, 1, 2] })) : change
      }),
    )
    expectDigest(await read(delta), entry.delta, tolerance)
    // The same from a file's module, without a model.
    const { weights } = moduleOf(entry)
    const shape = Array.from(entry.delta.shape)
    const rank = Number(entry.options.lora_dim)
    const whole = 'lokr_w1' in weights && 'lokr_w2' in weights
    const matrices = Object.entries(weights).map(([suffix, weight]) => {
      return [suffix, { shape: weight.shape, read: async () => weight.values }] as const
    })
    const module = {
      kind: kindOf(Object.keys(weights))!,
      layer: { part: 'unet', path: 'x', shape },
      rank: whole ? null : rank,
      alpha: entry.alpha,
      weights: Object.fromEntries(matrices),
    } as const
    expectDigest((await loraDelta(module)).values, entry.delta, tolerance)
    for (const t of [delta, branch, registry]) t.dispose()
  })

  it.each(fixture.cases)('computes what the layer does with the change merged: $kind, $layer', async (entry) => {
    const { layer, registry } = makeLayer(entry.layer)
    const branch = branchOf(entry, layer)
    const x = input(entry.layer)
    layer.branch = branch
    const beside = noGrad(() => layer.forward(x))
    layer.branch = null
    noGrad(() => scope(() => accumulate(layer.weight, branch.delta())))
    const merged = noGrad(() => layer.forward(x))
    const [a, b] = [await read(beside), await read(merged)]
    const largest = Math.max(...a.map(Math.abs))
    // The fast convolution rounds otherwise for a weight in one piece.
    const allowed = entry.layer === 'conv3x3' ? 1e-4 : 1e-5
    for (let i = 0; i < a.length; i++) expect(Math.abs(a[i]! - b[i]!)).toBeLessThan(allowed * largest)
    for (const t of [beside, merged, x, branch, registry]) t.dispose()
  })

  it.each(fixture.cases)(
    'has the strength of the pass, which its change of the weight has not: $kind, $layer',
    async (entry) => {
      const { layer, registry } = makeLayer(entry.layer)
      const branch = branchOf(entry, layer)
      layer.branch = branch
      const x = input(entry.layer)
      const of = async (result: () => Tensor): Promise<Float32Array> => {
        const made = noGrad(() => scope(result))
        const values = await read(made)
        made.dispose()
        return values
      }
      const change = await of(() => branch.delta())
      branch.strength = 0.5
      const half = await of(() => layer.forward(x))
      expect(await of(() => branch.delta())).toEqual(change)
      branch.strength = 1
      branch.scale *= 0.5
      expect(await of(() => layer.forward(x))).toEqual(half)
      for (const t of [x, branch, registry]) t.dispose()
    },
  )

  it.each(fixture.cases)('changes nothing before it is trained: $kind, $layer', async (entry) => {
    const { layer, registry } = makeLayer(entry.layer)
    const x = input(entry.layer)
    const plain = noGrad(() => layer.forward(x))
    const branch = branchOf(entry, layer)
    fillBranch(branch, (suffix) => new Float32Array(branch.stored.find((s) => s.suffix === suffix)!.tensor.size))
    branch.initialise('m', 7)
    branch.trains = true
    layer.branch = branch
    const beside = layer.forward(x)
    expect(await read(beside)).toEqual(await read(plain))
    // All factors but one hold random values, so that the first step changes something.
    const zeros = await Promise.all(
      branch.stored.map(async (stored) => (await readStored(stored)).every((v) => v === 0)),
    )
    expect(zeros.filter((zero) => zero)).toHaveLength(1)
    for (const t of [beside, plain, x, branch, registry]) t.dispose()
  })

  it('takes float32 changes of a bfloat16 weight as they are', async () => {
    const entry = fixture.cases.find(({ kind, layer }) => kind === 'loha' && layer === 'linear')!
    const { layer, registry } = makeLayer('linear', false, 'bfloat16')
    const branch = branchOf(entry, layer)
    // Far below the distance of neighbours of a bfloat16 weight.
    branch.scale = 1e-4
    layer.branch = branch
    const x = cast(input('linear'), { dtype: 'bfloat16' })
    const small = noGrad(() => scope(() => layer.forward(cast(x, { dtype: 'float32' }))))
    layer.branch = null
    const none = noGrad(() => scope(() => layer.forward(cast(x, { dtype: 'float32' }))))
    const [a, b] = [await read(small), await read(none)]
    expect(a.some((value, i) => value !== b[i])).toBe(true)
    layer.branch = branch
    branch.trains = true
    scope(() => {
      const y = layer.forward(x)
      expect(y.dtype).toBe('bfloat16')
      backward(y, cast(outputGradient('linear', y), { dtype: 'bfloat16' }))
    })
    for (const { tensor } of branch.trained) expect((await read(tensor.grad!)).some((value) => value !== 0)).toBe(true)
    for (const t of [small, none, x, branch, registry]) t.dispose()
  })
})

describe('a DyLoRA module', () => {
  it.each(fixture.dylora)('trains one unit beside all ranks as sd-scripts does: $layer from $start', async (entry) => {
    const before = await baselineBuffers()
    const { layer, registry } = makeLayer(entry.layer, entry.layer === 'conv1x1')
    const chance = new Chance(3)
    const branch = new DyLoraBranch(placeOf(layer), { rank: 4, unit: 2 }, entry.alpha / 4, chance, 'm')
    const { weights } = moduleOf(entry)
    fillBranch(branch, (suffix) => weights[suffix]!.values)
    branch.trains = true
    layer.branch = branch
    const unit = entry.start / 2
    for (let number = 1; number < 64 && chance.numbers('m.rank').integer(2) !== unit; number++) chance.setPass(number)
    const { x, y } = pass(layer, entry.layer)
    expectDigest(await read(y), entry.y, toleranceOf(entry))
    expectDigest(await read(x.grad!), entry.dx, toleranceOf(entry))
    const trained = branch.trained.filter(({ tensor }) => tensor.grad !== null)
    expect(trained.map(({ suffix }) => suffix)).toEqual([`lora_A.${unit}`, `lora_B.${unit}`])
    const [a, b] = await Promise.all(trained.map(({ tensor }) => read(tensor.grad!)))
    // The fixture has one tensor for each rank.
    for (const i of [0, 1]) {
      const [down, up] = [entry.gradients[`lora_A.${entry.start + i}`]!, entry.gradients[`lora_B.${entry.start + i}`]!]
      const row = a!.subarray((i * a!.length) / 2, ((i + 1) * a!.length) / 2)
      expectDigest(entry.layer === 'conv3x3' ? kernelToFile(row, down.shape) : row, down, toleranceOf(entry))
      expectDigest(b!.subarray((i * b!.length) / 2, ((i + 1) * b!.length) / 2), up, toleranceOf(entry))
    }
    for (const t of [x, y, branch, registry]) t.dispose()
    expect(await liveBuffers()).toBe(before)
  })

  it('uses all ranks in evaluation, as its file does', async () => {
    const entry = fixture.dylora.find(({ layer }) => layer === 'conv3x3')!
    const { layer, registry } = makeLayer('conv3x3')
    const chance = new Chance(3)
    const dylora = new DyLoraBranch(placeOf(layer), { rank: 4, unit: 2 }, entry.alpha / 4, chance, 'm')
    const { weights } = moduleOf(entry)
    fillBranch(dylora, (suffix) => weights[suffix]!.values)
    for (const stored of dylora.stored) expect(await readStored(stored)).toEqual(weights[stored.suffix]!.values)
    const plain = blankBranch(placeOf(layer), { kind: 'lora', rank: 4 }, entry.alpha / 4)
    fillBranch(plain, (suffix) => weights[suffix]!.values)
    chance.training = false
    const x = input('conv3x3')
    const outputs = [dylora, plain].map((branch) => {
      layer.branch = branch
      return noGrad(() => layer.forward(x))
    })
    expect(await read(outputs[0]!)).toEqual(await read(outputs[1]!))
    const deltas = [dylora, plain].map((branch) => noGrad(() => scope(() => branch.delta())))
    expect(await read(deltas[0]!)).toEqual(await read(deltas[1]!))
    for (const t of [...outputs, ...deltas, x, dylora, plain, registry]) t.dispose()
  })
})

/** [1, kh, kw, in] to [1, in, kh, kw]. */
function kernelToFile(row: Float32Array, [, channels = 1, height = 1, width = 1]: readonly number[]): Float32Array {
  return Float32Array.from(row, (_, i) => {
    const [channel, place] = [Math.floor(i / (height * width)), i % (height * width)]
    return row[place * channels + channel]!
  })
}

describe('the sizes of LoKr', () => {
  it('split dimensions as LyCORIS does', () => {
    expect(fixture.splits.length).toBeGreaterThan(100)
    for (const [size, factor, ...parts] of fixture.splits)
      expect(splitSize(size, factor), `${size} ${factor}`).toEqual(parts)
  })

  it.each(fixture.cases.filter(({ kind }) => kind.startsWith('lokr')))(
    'are those of LyCORIS: $kind, $layer',
    (entry) => {
      const { layer, registry } = makeLayer(entry.layer, entry.layer === 'conv1x1')
      const { lora_dim: rank, decompose_both, full_matrix, factor, unbalanced_factorization } = entry.options
      const sizes = kroneckerSizes(placeOf(layer), {
        rank: Number(rank),
        factor: Number(factor ?? -1),
        decomposeBoth: decompose_both === true,
        fullMatrix: full_matrix === true,
        unbalanced: unbalanced_factorization === true,
      })
      const branch = blankBranch(placeOf(layer), { kind: 'lokr', ...sizes }, 1)
      const shapes = Object.fromEntries(branch.stored.map(({ suffix, fileShape }) => [suffix, fileShape]))
      expect(shapes).toEqual(Object.fromEntries(Object.entries(entry.shapes).filter(([suffix]) => suffix !== 'alpha')))
      branch.dispose()
      registry.dispose()
    },
  )
})
