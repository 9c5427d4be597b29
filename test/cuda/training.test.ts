/** Steps of real trainings on the emulated GPU: the same bits in every order of threads, and what the CPU computes but for rounding. */
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { memory } from '../../lib/tensor/runtime.ts'
import type { DeviceName } from '../../lib/tensor/tensor.ts'
import { fineTuning } from '../../lib/train/methods/fineTune.ts'
import { networkTraining } from '../../lib/train/methods/trainNetwork.ts'
import type { MixedPrecision } from '../../lib/train/trainConfig.ts'
import { dwarf } from '../support/dwarfModel.ts'
import { canEmulate, orders, setEmulation } from '../support/emulatedGpu.ts'
import { bytesOf, liveBuffers, type Trained, trained } from '../support/gpuTraining.ts'
import { makeTinyData, saveTinyModel, type TinyOverrides, tinyTraining } from '../support/tinyTraining.ts'
import { makeTinyMetadata, tinyFineTune } from '../support/tinyTrainings.ts'

let model: string
let data: string
let metadata: string
let baseline: readonly number[]

/** How alike the changes of two trainings are: the cosine between them, and the ratio of their norms. */
function compareChanges(a: Trained, b: Trained): { readonly cosine: number; readonly ratio: number } {
  let [product, squareA, squareB] = [0, 0, 0]
  a.after.forEach((values, k) => {
    for (let i = 0; i < values.length; i++) {
      const [x, y] = [values[i]! - a.before[k]![i]!, b.after[k]![i]! - b.before[k]![i]!]
      product += x * y
      squareA += x * x
      squareB += y * y
    }
  })
  return { cosine: product / Math.sqrt(squareA * squareB), ratio: Math.sqrt(squareA / squareB) }
}

const kinds: Readonly<Record<'a LoRA' | 'a whole U-Net', (overrides: TinyOverrides) => Promise<Trained>>> = {
  'a LoRA': async (overrides) => trained(networkTraining, await tinyTraining(model, data, overrides)),
  'a whole U-Net': async (overrides) => trained(fineTuning, await tinyFineTune(model, metadata, overrides)),
}

/** One step of one picture. Tensors of 16 elements and more have 8-bit states where the optimizer has them. */
function oneStep(device: DeviceName, mixedPrecision: MixedPrecision, type: string): TinyOverrides {
  return {
    training: { maxSteps: 1, mixedPrecision, device },
    optimizer: { type, ...(type.endsWith('AdamW8bit') && { arguments: { min_8bit_size: 16 } }) },
    output: { saveAs: 'safetensors' },
  }
}

describe.runIf(canEmulate)('a training on the GPU', () => {
  beforeAll(async () => {
    model = await saveTinyModel(dwarf)
    data = await makeTinyData({ pictures: { 'a.png': [64, 64], 'a.txt': 'sks frog' }, batchSize: 1 })
    metadata = await makeTinyMetadata({ 'a.png': [64, 64] })
  })
  beforeEach(async () => {
    baseline = await liveBuffers()
  })
  afterEach(async () => {
    setEmulation('ORDER', 'forward')
    expect(await liveBuffers(), 'buffers left by the run').toEqual(baseline)
  })

  it.each([
    ['a LoRA', 'no', 'AdamW'],
    ['a LoRA', 'bf16', 'AdamW8bit'],
    ['a whole U-Net', 'no', 'AdamW8bit'],
    ['a whole U-Net', 'bf16', 'AdamW'],
  ] as const)('of %s (mixed_precision %s, %s) takes the step of the CPU', async (kind, precision, type) => {
    const onCpu = await kinds[kind]!(oneStep('cpu', precision, type))
    const first = await kinds[kind]!(oneStep('cuda', precision, type))
    for (const order of orders.slice(1, 3)) {
      setEmulation('ORDER', order)
      const other = await kinds[kind]!(oneStep('cuda', precision, type))
      expect(bytesOf(other), `bits in ${order} order`).toEqual(bytesOf(first))
    }
    const half = precision === 'bf16'
    expect(Math.abs(first.losses[0]! / onCpu.losses[0]! - 1)).toBeLessThan(half ? 2e-2 : 1e-5)
    const { cosine, ratio } = compareChanges(first, onCpu)
    // A first step of Adam's rule is a step by the sign: small gradients, of which bfloat16 may turn the sign, count like others.
    expect(cosine).toBeGreaterThan(half ? 0.95 : 0.9999)
    expect(Math.abs(ratio - 1)).toBeLessThan(2e-2)
  })

  it('steps parameters within the backward pass, with the bits of steps after it, and says that it has no graphs then', async () => {
    const train = async (fusedBackwardPass: boolean) => {
      const { training, optimizer, output } = oneStep('cuda', 'bf16', 'AdamW8bit')
      return kinds['a whole U-Net']({
        output: output!,
        training: { ...training, fullPrecision: true, gradientCheckpointing: true, fusedBackwardPass },
        optimizer: { ...optimizer, maxGradNorm: 0 },
      })
    }
    const [fused, plain] = [await train(true), await train(false)]
    expect(bytesOf(fused)).toEqual(bytesOf(plain))
    expect(fused.graphWarnings).toEqual([
      'CUDA graphs are not used for all steps: fused_backward_pass steps parameters within the backward pass. Results are the same without them.',
    ])
  })

  // The embeddings of tokens are the only parameters here that are large enough to page.
  it('keeps the states of a paged optimizer in pinned host memory', { timeout: 240_000 }, async () => {
    const train = async (device: DeviceName) => {
      const fineTune = { trainTextEncoder: true }
      const config = await tinyFineTune(model, metadata, { ...oneStep(device, 'no', 'PagedAdamW8bit'), fineTune })
      let pagedBytes = 0
      const run = await trained(fineTuning, config, (params) => {
        pagedBytes = memory(device).pagedBytes
        const large = params.filter(({ master }) => master.size >= 100_000)
        expect(pagedBytes).toBe(2 * large.reduce((sum, { master }) => sum + master.size, 0))
      })
      expect(pagedBytes).toBeGreaterThan(0)
      return run
    }
    const [onGpu, onCpu] = [await train('cuda'), await train('cpu')]
    expect(Math.abs(onGpu.losses[0]! / onCpu.losses[0]! - 1)).toBeLessThan(1e-5)
    const { cosine, ratio } = compareChanges(onGpu, onCpu)
    expect(cosine).toBeGreaterThan(0.9999)
    expect(Math.abs(ratio - 1)).toBeLessThan(2e-2)
  })
})
