import { afterEach, describe, expect, it } from 'vitest'
import { randomNormal, randomUniform } from '../../lib/tensor/create.ts'
import { cpuTargets, setCpuTarget, setThreadCount, threadCount } from '../../lib/tensor/runtime.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { philox4x32 } from '../../lib/util/philox.ts'

async function values(t: Tensor): Promise<Float32Array> {
  const data = (await t.read()) as Float32Array
  t.dispose()
  return data
}

const low = (value: bigint): number => Number(BigInt.asUintN(32, value))
const high = (value: bigint): number => Number(BigInt.asUintN(64, value) >> 32n)

/** The words of a stream, in TypeScript. */
function wordsOf(seed: bigint, stream: bigint, count: number): number[] {
  const words: number[] = []
  for (let block = 0; words.length < count; block++)
    words.push(...philox4x32([block, 0, low(stream), high(stream)], [low(seed), high(seed)]))
  return words.slice(0, count)
}

const threads = threadCount()
afterEach(() => {
  setThreadCount(threads)
  setCpuTarget(cpuTargets().at(-1)!)
})

describe('random tensors', () => {
  it.each([
    { seed: 0n, stream: 0n },
    { seed: 42n, stream: 7n },
    { seed: 0xffff_ffff_ffff_ffffn, stream: 0x1234_5678_9abc_def0n },
  ])('hold the words of Philox 4x32-10 under seed $seed, stream $stream', async ({ seed, stream }) => {
    const found = await values(randomUniform([1003], { seed, stream }))
    expect(Array.from(found)).toEqual(wordsOf(seed, stream, 1003).map((word) => (word >>> 8) / 2 ** 24))
  })

  it('hold normals made of those words by the formula of Box and Muller', async () => {
    const count = 4096
    const found = await values(randomNormal([count], { seed: 5, stream: 9 }))
    const words = wordsOf(5n, 9n, count)
    for (let i = 0; i < count; i += 2) {
      const radius = Math.sqrt(-2 * Math.log((words[i]! + 0.5) / 2 ** 32))
      const angle = 2 * Math.PI * ((words[i + 1]! + 0.5) / 2 ** 32)
      expect(Math.abs(found[i]! - radius * Math.cos(angle))).toBeLessThan(1e-6)
      expect(Math.abs(found[i + 1]! - radius * Math.sin(angle))).toBeLessThan(1e-6)
    }
  })

  it('have the moments of the normal and of the uniform distribution', async () => {
    const count = 2 ** 20
    const moments = (x: Float32Array): number[] =>
      [1, 2, 3, 4].map((power) => x.reduce((sum, value) => sum + value ** power, 0) / count)
    const [mean, variance, skew, kurtosis] = moments(await values(randomNormal([count], { seed: 1 })))
    // Five standard errors of each moment.
    expect(Math.abs(mean!)).toBeLessThan(5 * Math.sqrt(1 / count))
    expect(Math.abs(variance! - 1)).toBeLessThan(5 * Math.sqrt(2 / count))
    expect(Math.abs(skew!)).toBeLessThan(5 * Math.sqrt(15 / count))
    expect(Math.abs(kurtosis! - 3)).toBeLessThan(5 * Math.sqrt(96 / count))
    const uniform = await values(randomUniform([count], { seed: 1, low: -2, high: 4 }))
    expect(Math.abs(moments(uniform)[0]! - 1)).toBeLessThan(5 * Math.sqrt(3 / count))
    expect(uniform.every((x) => x >= -2 && x < 4)).toBe(true)
  })

  it('are the same bits on any number of threads and any instruction set', async () => {
    const shape = [3, 50_001]
    const expected = await values(randomNormal(shape, { seed: 11, stream: 3 }))
    for (const count of [1, 2, 3]) {
      setThreadCount(count)
      for (const target of cpuTargets()) {
        setCpuTarget(target)
        const found = await values(randomNormal(shape, { seed: 11, stream: 3 }))
        expect(Buffer.from(found.buffer).equals(Buffer.from(expected.buffer)), `${count} threads, ${target}`).toBe(true)
      }
    }
  })

  it('do not depend on the shape beyond its size, and differ with seed and stream', async () => {
    const flat = await values(randomNormal([24], { seed: 1, stream: 2 }))
    expect(await values(randomNormal([2, 3, 4], { seed: 1, stream: 2 }))).toEqual(flat)
    expect(await values(randomNormal([24], { seed: 2, stream: 2 }))).not.toEqual(flat)
    expect(await values(randomNormal([24], { seed: 1, stream: 3 }))).not.toEqual(flat)
  })
})
