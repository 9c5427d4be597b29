import { describe, expect, it } from 'vitest'
import { alphaMask, mirrorMask, reduceMask } from '../../../lib/train/step/mask.ts'

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
