import { describe, expect, it } from 'vitest'
import { addNoise, velocity } from '../../lib/ops/addNoise.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { type Array64, array64 } from '../support/float64.ts'
import { elementwiseTolerance, type OpCase, opSuite } from '../support/opSuite.ts'

const alphasCumprod = Float32Array.from({ length: 1000 }, (_, i) => 0.9991 - i / 1005)

function oracle(first: 0 | 1): (inputs: readonly (Array64 | null)[]) => Array64 {
  return ([latents, noise, timesteps, table]) => {
    const y = array64(latents!.shape)
    const size = y.data.length / latents!.shape[0]!
    for (let i = 0; i < y.data.length; i++) {
      const a = table!.data[timesteps!.data[Math.floor(i / size)]!]!
      const [x, e] = [latents!.data[i]!, noise!.data[i]!]
      y.data[i] = first === 0 ? Math.sqrt(a) * x + Math.sqrt(1 - a) * e : Math.sqrt(a) * e - Math.sqrt(1 - a) * x
    }
    return y
  }
}

function testCase(name: string, shape: readonly number[], timesteps: readonly number[]): OpCase<Record<never, never>> {
  const times = { shape: [timesteps.length], dtype: 'int32', data: timesteps } as const
  return {
    name,
    inputs: [{ shape }, { shape }, times, { shape: [1000], dtype: 'float32', data: alphasCumprod }],
    options: {},
  }
}

const cases = [
  testCase('one latent', [1, 9, 7, 4], [999]),
  testCase('each sample at its own time', [3, 5, 5, 3], [0, 999, 412]),
  testCase('longer than a task', [2, 64, 64, 4], [17, 801]),
]

opSuite(addNoise, { oracle: oracle(0), tolerance: elementwiseTolerance, cases, gpu: true })
opSuite(velocity, { oracle: oracle(1), tolerance: elementwiseTolerance, cases, gpu: true })

fixtureSuite(addNoise, { tolerance: elementwiseTolerance })

fixtureSuite(velocity, { tolerance: elementwiseTolerance })

describe('addNoise', () => {
  it('rejects timesteps that are not one for each sample', () => {
    expect(() => addNoise(zeros([2, 3]), zeros([2, 3]), tensor(new Int32Array(3), [3]), zeros([10]))).toThrow(
      'addNoise: timesteps must be of shape [2], received [3]',
    )
  })
  it('reports a timestep outside the table when the result is read', async () => {
    const y = velocity(zeros([1, 3]), zeros([1, 3]), tensor(new Int32Array([10]), [1]), zeros([10]))
    await expect(y.read()).rejects.toThrow('timesteps must be in [0, 10), the length of alphasCumprod; sample 0 has 10')
  })
})
