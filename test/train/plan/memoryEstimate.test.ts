import { beforeAll, describe, expect, it } from 'vitest'
import { inspectFile } from '../../../lib/checkpoints/inspect.ts'
import { memory, resetPeak } from '../../../lib/tensor/runtime.ts'
import { releaseUnused } from '../../../lib/tensor/settle.ts'
import { keptWeightsBudget } from '../../../lib/train/keptWeights.ts'
import { estimateMemory, type MemoryFacts } from '../../../lib/train/plan/memoryEstimate.ts'
import { stateBytes } from '../../../lib/train/plan/stateBytes.ts'
import { trainDreamBooth, trainNetwork } from '../../../lib/train/trainings.ts'
import { makeFolder } from '../../support/pictures.ts'
import { makeTinyData, saveTinyModel, type TinyOverrides, tinyTraining } from '../../support/tinyTraining.ts'

const facts: MemoryFacts = {
  model: null,
  mixedPrecision: 'no',
  gradientCheckpointing: false,
  pixelsPerBatch: 512 * 512,
  latentBytes: 0,
  largestPicture: 0,
  picturesInFlight: 8,
}

function bytesOf(what: string, changes: Partial<MemoryFacts>): number | undefined {
  return estimateMemory({ ...facts, ...changes }).find((share) => share.what.startsWith(what))?.bytes
}

async function modelOf(unet: number, textEncoder: number, vae: number): Promise<NonNullable<MemoryFacts['model']>> {
  const part = (parameterCount: number) => ({ tensorCount: 1, parameterCount, bytes: 0, dtypes: [] })
  const blank = await inspectFile(await makeFolder())
  return { ...blank, parts: { unet: part(unet), textEncoder: part(textEncoder), vae: part(vae) } }
}

describe('estimateMemory', () => {
  it('counts the activations of a batch, a fifth with checkpointing, half in 16 bits', () => {
    const whole = bytesOf('activations', {})!
    expect(whole).toBeCloseTo(1.35 * 2 ** 30, -3)
    expect(bytesOf('activations', { pixelsPerBatch: 2 * 512 * 512 })).toBeCloseTo(2 * whole, -1)
    expect(bytesOf('activations', { gradientCheckpointing: true })).toBeCloseTo(whole / 5, -1)
    for (const mixedPrecision of ['bf16', 'fp16'] as const)
      expect(bytesOf('activations', { mixedPrecision })).toBeCloseTo(whole / 2, -1)
  })

  it('counts three bytes for each pixel of every picture that may be in flight, and the latents that are kept', () => {
    expect(bytesOf('pictures', { largestPicture: 12e6 })).toBe(12e6 * 3 * 8)
    expect(bytesOf('cached latents', { latentBytes: 1234 })).toBe(1234)
    expect(bytesOf('cached latents', {})).toBeUndefined()
  })

  it('counts weights in the type they are computed in, of the parts that a step needs', async () => {
    const model = await modelOf(800e6, 100e6, 100e6)
    const cached = { latents: true, captions: true }
    expect(bytesOf('weights', { model, previews: true })).toBe(4e9)
    expect(bytesOf('weights', { model })).toBe(3.2e9 + 400e6 + 164e6)
    expect(bytesOf('weights', { model, cached, previews: true })).toBe(4e9)
    expect(bytesOf('weights', { model, cached })).toBe(3.2e9)
    for (const mixedPrecision of ['bf16', 'fp16'] as const) {
      expect(bytesOf('weights', { model, mixedPrecision, previews: true })).toBe(2.2e9)
      expect(bytesOf('weights', { model, mixedPrecision, cached })).toBe(1.6e9)
    }
  })

  it('counts what is trained, its copy, its gradient and its states', async () => {
    const model = await modelOf(800e6, 100e6, 100e6)
    const trained = { model, cached: { latents: true, captions: false }, trainedParts: ['unet'] } as const
    expect(bytesOf('weights', trained)).toBe(3.2e9 + 400e6)
    expect(bytesOf('weights', { ...trained, mixedPrecision: 'bf16' })).toBe(4.8e9 + 400e6)
    expect(bytesOf('weights', { ...trained, mixedPrecision: 'bf16', fullPrecision: true })).toBe(1.6e9 + 400e6)
    expect(bytesOf('gradients', trained)).toBe(3.2e9)
    const fused = { ...trained, fusedBackward: true } as const
    expect(bytesOf('gradients', fused)! / 4 / 800e6).toBeCloseTo(29.5 / 859.5, 6)
    expect(bytesOf('gradients', { ...fused, trainedParts: ['unet', 'textEncoder'] })).toBe(4 * 31e6)
    expect(bytesOf('optimizer states', trained)).toBe(6.4e9)
    expect(bytesOf('optimizer states', { ...trained, optimizer: 'AdamW8bit' })).toBe(1.624e9)
    expect(bytesOf('transformed', { ...trained, keptWeightsBytes: 1e9 })).toBeUndefined()
  })

  it('counts a byte for each number of parts in 8 bits, and nothing kept beside them', async () => {
    const model = await modelOf(800e6, 100e6, 10e6)
    const unet = {
      model,
      mixedPrecision: 'fp16',
      eightBitParts: ['unet'],
      keptWeightsBytes: 1e9,
      previews: true,
    } as const
    expect(bytesOf('weights', unet)).toBe(800e6 + 400e6 + 20e6)
    expect(bytesOf('transformed', unet)).toBeUndefined()
    expect(bytesOf('transformed', { ...unet, eightBitParts: [] })).toBe(1e9)
    const both = { ...unet, eightBitParts: ['unet', 'textEncoder'] } as const
    expect(bytesOf('weights', both)).toBe(800e6 + 193e6 + 20e6)
  })

  it('lists the largest first', () => {
    const sizes = estimateMemory({ ...facts, latentBytes: 5, largestPicture: 12e6 }).map(({ bytes }) => bytes)
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a))
  })

  it('knows optimizers by their names', () => {
    const names = [
      'AdamW',
      'PagedAdamW8bit',
      'Lion8bit',
      'AdamW8bit',
      'Prodigy',
      'DAdaptAdam',
      'Lion',
      'AdaFactor',
      'my.Own',
    ]
    expect(names.map(stateBytes)).toEqual([8, 0, 1.02, 2.03, 16, 12, 4, 0.1, 8])
  })
})

describe('keptWeightsBudget', () => {
  const budget = (training: object) => keptWeightsBudget({ training } as never)
  it('is what was asked for, and nothing on a GPU', () => {
    expect(budget({ keptWeightsBytes: 5 })).toBe(5)
    expect(budget({})).toBe(0)
    expect(budget({ keptWeightsBytes: 5, device: 'cuda' })).toBe(0)
  })
})

describe('the estimate for a training', () => {
  let model: string
  let data: string
  beforeAll(async () => {
    model = await saveTinyModel()
    data = await makeTinyData({ batchSize: 1, resolution: 128, pictures: { 'a.png': [128, 128], 'a.txt': 'a frog' } })
  })

  /** Bytes that tensors take in steps at most, and what is estimated of them: not Node.js, nor what is kept for reuse. */
  async function compare(
    overrides: TinyOverrides,
    trainedParts: MemoryFacts['trainedParts'],
  ): Promise<[number, number]> {
    const config = await tinyTraining(model, data, {
      ...overrides,
      data: { cacheTextEncoderOutputs: trainedParts === undefined },
      network: { trainTextEncoder: false },
    })
    const whole = { ...config, dreamBooth: { stopTextEncoderTraining: -1, textEncoderLearningRate: null } }
    await releaseUnused()
    const before = memory().liveBytes
    let peak = 0
    for await (const { type } of trainedParts === undefined ? trainNetwork(config) : trainDreamBooth(whole)) {
      if (type === 'epoch' && peak === 0) resetPeak()
      if (type === 'step') peak = memory().peakBytes - before
    }
    const estimate = estimateMemory({
      ...facts,
      model: await inspectFile(model),
      mixedPrecision: config.training.mixedPrecision,
      fullPrecision: config.training.fullPrecision ?? false,
      fusedBackward: config.training.fusedBackwardPass ?? false,
      ...(trainedParts && { trainedParts, optimizer: String(config.optimizer.type) }),
      networkRank: trainedParts === undefined ? 4 : 0,
      cached: { latents: true, captions: trainedParts === undefined },
      gradientCheckpointing: config.training.gradientCheckpointing,
      pixelsPerBatch: 128 * 128,
    }).filter(({ what }) => what !== 'the program' && what !== 'kept for reuse')
    return [peak, estimate.reduce((sum, { bytes }) => sum + bytes, 0)]
  }

  const steps = { maxSteps: 2 } as const
  it.each<[string, TinyOverrides, MemoryFacts['trainedParts']]>([
    ['a LoRA in bf16', { training: { ...steps, mixedPrecision: 'bf16' } }, undefined],
    ['a U-Net in bf16 with copies', { training: { ...steps, mixedPrecision: 'bf16' } }, ['unet']],
    ['a U-Net with 8-bit states', { training: steps, optimizer: { type: 'AdamW8bit' } }, ['unet']],
    [
      'a U-Net whose gradients are freed at once',
      { training: { ...steps, fusedBackwardPass: true }, optimizer: { type: 'AdamW8bit', maxGradNorm: 0 } },
      ['unet'],
    ],
  ])('of %s is within a quarter of what its tensors take', async (_name, overrides, trainedParts) => {
    const [peak, estimate] = await compare(overrides, trainedParts)
    expect(Math.abs(estimate / peak - 1)).toBeLessThan(0.25)
  })
})
