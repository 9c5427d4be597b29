import { describe, expect, it } from 'vitest'
import { inspectFile } from '../../lib/checkpoints/inspect.ts'
import { estimateMemory, type MemoryFacts } from '../../lib/train/memoryEstimate.ts'
import { makeFolder } from '../support/pictures.ts'

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

describe('estimateMemory', () => {
  it('counts the activations of a batch, a quarter with checkpointing, half in 16 bits', () => {
    const whole = bytesOf('activations', {})!
    expect(whole).toBeCloseTo(1006e6, -3)
    expect(bytesOf('activations', { pixelsPerBatch: 2 * 512 * 512 })).toBeCloseTo(2 * whole, -1)
    expect(bytesOf('activations', { gradientCheckpointing: true })).toBeCloseTo(whole / 4, -1)
    for (const mixedPrecision of ['bf16', 'fp16'] as const)
      expect(bytesOf('activations', { mixedPrecision })).toBeCloseTo(whole / 2, -1)
  })

  it('counts three bytes for each pixel of every picture that may be in flight, and the latents that are kept', () => {
    expect(bytesOf('pictures', { largestPicture: 12e6 })).toBe(12e6 * 3 * 8)
    expect(bytesOf('cached latents', { latentBytes: 1234 })).toBe(1234)
    expect(bytesOf('cached latents', {})).toBeUndefined()
  })

  it('counts weights in the type they are computed in, the text encoder in float32, and kept ones up to their budget', async () => {
    const blank = await inspectFile(await makeFolder())
    const part = (parameterCount: number) => ({ tensorCount: 1, parameterCount, bytes: 0, dtypes: [] })
    const model = { ...blank, parts: { unet: part(800e6), textEncoder: part(100e6), vae: part(100e6) } }
    expect(bytesOf('weights', { model })).toBe(4e9)
    expect(bytesOf('weights', { model, mixedPrecision: 'bf16' })).toBe(2.2e9)
    expect(bytesOf('transformed', { model })).toBe(4 * 2 ** 30)
    expect(bytesOf('transformed', { model, mixedPrecision: 'bf16' })).toBeUndefined()
    expect(bytesOf('weights', { model, mixedPrecision: 'fp16' })).toBe(2.2e9)
    expect(bytesOf('transformed', { model, mixedPrecision: 'fp16' })).toBe(4 * 2 ** 30)
  })

  it('counts a byte for each number of parts in 8 bits, and nothing kept beside them', async () => {
    const blank = await inspectFile(await makeFolder())
    const part = (parameterCount: number) => ({ tensorCount: 1, parameterCount, bytes: 0, dtypes: [] })
    const model = { ...blank, parts: { unet: part(800e6), textEncoder: part(100e6), vae: part(10e6) } }
    const unet = { model, mixedPrecision: 'fp16', eightBitParts: ['unet'] } as const
    expect(bytesOf('weights', unet)).toBe(800e6 + 400e6 + 20e6)
    expect(bytesOf('transformed', unet)).toBe(160e6)
    const both = { ...unet, eightBitParts: ['unet', 'textEncoder'] } as const
    expect(bytesOf('weights', both)).toBe(800e6 + 193e6 + 20e6)
  })

  it('lists the largest first', () => {
    const sizes = estimateMemory({ ...facts, latentBytes: 5, largestPicture: 12e6 }).map(({ bytes }) => bytes)
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a))
  })
})
