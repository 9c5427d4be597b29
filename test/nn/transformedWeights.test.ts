import { describe, expect, it } from 'vitest'
import { Conv2d } from '../../lib/nn/conv2d.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import { TransformedWeights } from '../../lib/nn/transformedWeights.ts'
import { Registry, Weights } from '../../lib/nn/weights.ts'
import { randomNormal, zeros } from '../../lib/tensor/create.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import { keep } from '../../lib/tensor/scope.ts'

/** Bytes of the transformed weights of 32 x 32 channels, for both directions. */
const bytes = 2 * 36 * 32 * 32 * 4

describe('TransformedWeights', () => {
  it('keeps the layers with the most tiles, as many as the budget pays for', () => {
    const weights = [16, 64, 256, 1024].map((tiles) => ({ tiles, weight: zeros([32, 3, 3, 32]) }))
    const choice = new TransformedWeights(2 * bytes + 1)
    const pass = (): boolean[] => weights.map(({ weight, tiles }) => choice.keeps(weight, tiles))
    expect(pass()).toEqual([false, false, false, false])
    expect(choice.keptBytes).toBe(0)
    expect(pass()).toEqual([false, false, true, true])
    expect(pass()).toEqual([false, false, true, true])
    expect(choice.keptBytes).toBe(2 * bytes)
    for (const { weight } of weights) weight.dispose()
  })

  it('passes over a layer that is too large for what is left', () => {
    const [large, small] = [zeros([64, 3, 3, 64]), zeros([32, 3, 3, 32])]
    const choice = new TransformedWeights(2 * bytes)
    choice.keeps(large, 1000)
    choice.keeps(small, 100)
    expect([choice.keeps(large, 1000), choice.keeps(small, 100)]).toEqual([false, true])
    large.dispose()
    small.dispose()
  })

  it('takes no layer whose roundings would change', () => {
    const choice = new TransformedWeights()
    const [single, half] = [zeros([32, 3, 3, 32]), zeros([32, 3, 3, 32], { dtype: 'bfloat16' })]
    for (let i = 0; i < 2; i++) for (const weight of [single, half]) choice.keeps(weight, 20)
    expect([choice.keeps(single, 20), choice.keeps(half, 20)]).toEqual([true, false])
    single.dispose()
    half.dispose()
  })
})

describe('Conv2d', () => {
  async function liveBytes(): Promise<number> {
    const fence = zeros([1])
    await fence.read()
    fence.dispose()
    return memory().liveBytes
  }

  it.each(['float32', 'bfloat16', 'float16'] as const)(
    'gives the same bits with weights kept as with weights transformed for the call, in %s, and frees them',
    async (dtype) => {
      const before = await liveBytes()
      const registry = new Registry(randomWeights(3), dtype)
      const layer = new Conv2d(new Weights(registry, 'conv'), 32, 64)
      const x = keep(randomNormal([1, 32, 32, 32], { seed: 1 }))
      const results: Float32Array[] = []
      const held: number[] = []
      for (let i = 0; i < 3; i++) {
        const y = layer.forward(x)
        results.push((await y.read()) as Float32Array)
        y.dispose()
        held.push(await liveBytes())
      }
      expect(results[1]).toEqual(results[0])
      expect(results[2]).toEqual(results[0])
      expect(held[1]! - held[0]!).toBe(36 * 64 * 32 * 4)
      expect(held[2]).toBe(held[1])
      registry.dispose()
      x.dispose()
      expect(await liveBytes()).toBe(before)
    },
  )

  it('keeps nothing where the budget is 0 or the weight is trained', async () => {
    const x = randomNormal([1, 32, 32, 32], { seed: 1 })
    for (const trained of [true, false]) {
      const registry = new Registry(randomWeights(3), 'float32')
      const layer = new Conv2d(new Weights(registry, 'conv'), 32, 64)
      if (trained) layer.weight.requiresGrad = true
      else registry.transformedWeights.budget = 0
      const held: number[] = []
      for (let i = 0; i < 3; i++) {
        layer.forward(x).dispose()
        held.push(await liveBytes())
      }
      expect(held[2]).toBe(held[0])
      registry.dispose()
    }
    x.dispose()
  })
})
