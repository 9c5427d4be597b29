import { describe, expect, it } from 'vitest'
import { adamWSteps, attend, normalize } from '../../examples/kernels.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { uniform } from '../support/seededNumbers.ts'

const random = uniform(5)
const numbers = (count: number): Float32Array => Float32Array.from({ length: count }, () => 2 * random() - 1)

function expectNear(found: Float32Array, expected: readonly number[], tolerance: number): void {
  expect(found).toHaveLength(expected.length)
  const errors = expected.map((value, i) => Math.abs(value - found[i]!))
  expect(Math.max(...errors)).toBeLessThan(tolerance)
}

describe('the example of kernels alone', () => {
  it('computes attention', async () => {
    const baseline = await baselineBuffers()
    const [tokens, keys, channels, heads] = [3, 5, 16, 2]
    const [q, k, v] = [numbers(tokens * channels), numbers(keys * channels), numbers(keys * channels)]
    const size = channels / heads
    const expected = Array.from(q, (_, at) => {
      const [token, channel] = [Math.floor(at / channels), at % channels]
      const first = size * Math.floor(channel / size)
      const scores = Array.from({ length: keys }, (_, key) => {
        let sum = 0
        for (let c = first; c < first + size; c++) sum += q[token * channels + c]! * k[key * channels + c]!
        return Math.exp(sum / Math.sqrt(size))
      })
      const total = scores.reduce((a, b) => a + b, 0)
      return scores.reduce((sum, score, key) => sum + (score / total) * v[key * channels + channel]!, 0)
    })
    expectNear(await attend(q, k, v, { channels, heads }), expected, 1e-5)
    expect(await liveBuffers()).toBe(baseline)
  })

  it('normalizes groups of channels', async () => {
    const baseline = await baselineBuffers()
    const [pixels, channels, groups] = [4, 4, 2]
    const [x, weight, bias] = [numbers(pixels * channels), numbers(channels), numbers(channels)]
    const expected = Array.from(x, (value, at) => {
      const group = Math.floor(((at % channels) * groups) / channels)
      const members = Array.from(x).filter((_, i) => Math.floor(((i % channels) * groups) / channels) === group)
      const mean = members.reduce((a, b) => a + b, 0) / members.length
      const variance = members.reduce((sum, each) => sum + (each - mean) ** 2, 0) / members.length
      const y = ((value - mean) / Math.sqrt(variance + 1e-5)) * weight[at % channels]! + bias[at % channels]!
      return y / (1 + Math.exp(-y))
    })
    expectNear(await normalize(x, [2, 2, channels], { weight, bias, groups }), expected, 1e-5)
    expect(await liveBuffers()).toBe(baseline)
  })

  it('steps weights with 8-bit moments', async () => {
    const baseline = await baselineBuffers()
    const weights = numbers(8192)
    const gradient = numbers(8192)
    const [rate, decay, eps] = [1e-2, 1e-2, 1e-8]
    // After the first step both moments are those of one gradient: the step is its sign, but for eps.
    const expected = Array.from(weights, (w, i) => {
      const g = gradient[i]!
      return w * (1 - rate * decay) - (rate * g) / (Math.abs(g) + eps)
    })
    expectNear(await adamWSteps(weights, [gradient], rate), expected, 1e-5)
    const further = await adamWSteps(weights, [gradient, gradient], rate)
    expect(further.some((value, i) => value !== expected[i])).toBe(true)
    expect(await liveBuffers()).toBe(baseline)
  })
})
