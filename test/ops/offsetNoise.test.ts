import { describe, expect, it } from 'vitest'
import { offsetNoise } from '../../lib/ops/offsetNoise.ts'
import { randomNormal, zeros } from '../../lib/tensor/create.ts'
import { array64 } from '../support/float64.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

const seed = 77
const stream = 3
const normals = Float64Array.from((await randomNormal([12], { seed, stream }).read()) as Float32Array)

opSuite(offsetNoise, {
  gpu: true,
  oracle([noise, latents], { offset, adaptiveScale = 0 }) {
    const y = array64(noise!.shape, noise!.data)
    const samples = noise!.shape[0]!
    const channels = noise!.shape.at(-1)!
    const pixels = y.data.length / samples / channels
    for (let n = 0; n < samples; n++)
      for (let c = 0; c < channels; c++) {
        let mean = 0
        for (let i = 0; i < pixels; i++) mean += (latents?.data[(n * pixels + i) * channels + c] ?? 0) / pixels
        const strength = adaptiveScale === 0 ? offset : Math.max(0, offset + adaptiveScale * Math.abs(mean))
        for (let i = 0; i < pixels; i++)
          y.data[(n * pixels + i) * channels + c]! += strength * normals[n * channels + c]!
      }
    return y
  },
  tolerance: elementwiseTolerance,
  cases: [
    { name: 'fixed', inputs: [{ shape: [3, 5, 7, 4] }, null], options: { offset: 0.1, seed, stream } },
    {
      name: 'adaptive',
      inputs: [{ shape: [2, 9, 3, 3] }, { shape: [2, 9, 3, 3], offset: 0.5 }],
      options: { offset: 0.05, adaptiveScale: 0.3, seed, stream },
    },
    {
      name: 'adaptive strength never falls below zero',
      inputs: [{ shape: [1, 4, 4, 4] }, { shape: [1, 4, 4, 4], offset: 3 }],
      options: { offset: 0.05, adaptiveScale: -2, seed, stream },
    },
    { name: 'longer than a task', inputs: [{ shape: [2, 70, 70, 4] }, null], options: { offset: -0.2, seed, stream } },
  ],
})

describe('offsetNoise', () => {
  it('needs latents for an adaptive strength', () => {
    expect(() => offsetNoise(zeros([1, 2, 2, 4]), null, { offset: 0.1, adaptiveScale: 1, seed })).toThrow(
      'offsetNoise: latents must be a Tensor where adaptiveScale is not 0, received null',
    )
  })
})
