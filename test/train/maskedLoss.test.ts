import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { alphaMask, mirrorMask, reduceMask } from '../../lib/train/alphaMask.ts'
import { maskedLoss } from '../../lib/train/maskedLoss.ts'

const [n, h, w, c] = [2, 3, 4, 2] as const
const series = (count: number, factor: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(i * factor))
const prediction = series(n * h * w * c, 1.3)
const target = series(n * h * w * c, 0.7)
const mask = series(n * h * w, 2.1).map((value) => Math.max(0, value))
const weights = [0.5, 2] as const

describe('maskedLoss', () => {
  it.each([true, false])(
    'is the mean of the masked squared errors, and so is its gradient (weights: %s)',
    async (weighted) => {
      const predicted = tensor(prediction, [n, h, w, c])
      predicted.requiresGrad = true
      const perSample = weighted ? tensor(Float32Array.from(weights), [n]) : null
      const loss = maskedLoss(predicted, tensor(target, [n, h, w, c]), mask, perSample)
      let expected = 0
      const gradient = prediction.map((value, i) => {
        const factor = (weighted ? weights[Math.floor(i / (h * w * c))]! : 1) * mask[Math.floor(i / c)]!
        expected += (factor * (value - target[i]!) ** 2) / prediction.length
        return (2 * factor * (value - target[i]!)) / prediction.length
      })
      expect(Number((await loss.read())[0])).toBeCloseTo(expected, 6)
      backward(loss)
      const found = (await predicted.grad!.read()) as Float32Array
      found.forEach((value, i) => {
        expect(value).toBeCloseTo(gradient[i]!, 6)
      })
    },
  )
})

describe('masks', () => {
  const alpha = Uint8Array.from({ length: 16 * 8 }, (_, i) => (i % 16 < 4 ? 0 : 255))
  const mask = alphaMask({ width: 16, height: 8, pixels: new Uint8Array(), alpha })

  it('are the mean of the opacity under each latent', () => {
    expect(reduceMask(mask, 8)).toEqual({ width: 2, height: 1, values: Float32Array.of(0.5, 1) })
  })

  it('change sides with their pictures', () => {
    expect(mirrorMask(reduceMask(mask, 8)).values).toEqual(Float32Array.of(1, 0.5))
  })

  it('are whole for pictures without opacity', () => {
    expect(reduceMask(alphaMask({ width: 8, height: 8, pixels: new Uint8Array() }), 8).values).toEqual(
      Float32Array.of(1),
    )
  })

  it('must be made of whole latents', () => {
    expect(() => reduceMask({ width: 12, height: 8, values: new Float32Array(96) }, 8)).toThrow(
      'of sides divisible by 8',
    )
  })
})
