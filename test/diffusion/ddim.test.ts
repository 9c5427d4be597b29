import { describe, expect, it } from 'vitest'
import { DdimSampler } from '../../lib/diffusion/ddim.ts'
import { noiseSchedule } from '../../lib/diffusion/noiseSchedule.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { pseudoRandom } from '../support/float64.ts'

const { alphasCumprod } = noiseSchedule()
const count = 64
const x0 = pseudoRandom('x0', count)
const noise = pseudoRandom('noise', count)

function mixed(a: number): Float32Array {
  return x0.map((x, i) => Math.sqrt(a) * x + Math.sqrt(1 - a) * noise[i]!)
}

describe.each(['epsilon', 'v_prediction'] as const)('DdimSampler for %s', (predictionType) => {
  it('finds the picture that a perfect model sees, through every noise level between', async () => {
    const sampler = new DdimSampler({ steps: 7, predictionType })
    expect(sampler.timesteps).toEqual([853, 711, 569, 427, 285, 143, 1])
    let latents = tensor(mixed(alphasCumprod[853]!), [count])
    for (const [index, t] of sampler.timesteps.entries()) {
      const a = alphasCumprod[t]!
      const velocity = noise.map((e, i) => Math.sqrt(a) * e - Math.sqrt(1 - a) * x0[i]!)
      latents = sampler.step(index, latents, tensor(predictionType === 'epsilon' ? noise : velocity, [count]))
      const expected = t === 1 ? x0 : mixed(alphasCumprod[t - 142]!)
      const actual = (await latents.read()) as Float32Array
      actual.forEach((x, i) => {
        expect(Math.abs(x - expected[i]!)).toBeLessThan(2e-5)
      })
    }
  })
})

describe('DdimSampler', () => {
  it('takes a single step from nearly clean latents', () => {
    expect(new DdimSampler({ steps: 1, predictionType: 'epsilon' }).timesteps).toEqual([1])
  })
  it('rejects as many steps as there are timesteps', () => {
    expect(() => new DdimSampler({ steps: 1000, predictionType: 'epsilon' })).toThrow(
      'DdimSampler: steps must be a whole number from 1 to 999, received 1000',
    )
  })
  it('rejects a step after the last', () => {
    const sampler = new DdimSampler({ steps: 2, predictionType: 'epsilon' })
    const x = tensor([1], [1])
    expect(() => sampler.step(2, x, x)).toThrow('DdimSampler: index must be less than 2, received 2')
  })
})
