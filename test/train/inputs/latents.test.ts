import { describe, expect, it } from 'vitest'
import { Vae } from '../../../lib/models/stableDiffusion/vae.ts'
import { randomWeights } from '../../../lib/nn/init.ts'
import { tensor } from '../../../lib/tensor/create.ts'
import { encodePictures } from '../../../lib/train/inputs/latents.ts'
import { tinyConfigs } from '../../support/tinyModels.ts'

const bytes = (count: number, step: number): Uint8Array =>
  Uint8Array.from({ length: count }, (_, i) => (i * step) & 255)

describe('encodePictures', () => {
  const vae = new Vae(tinyConfigs.tinySd1.vae, randomWeights(1))
  const latentsOf = async (pictures: readonly Uint8Array[], streams: readonly bigint[]): Promise<Float32Array> => {
    const data = Uint8Array.from(pictures.flatMap((picture) => [...picture]))
    const pixels = tensor(data, [pictures.length, 32, 24, 3])
    const latents = encodePictures(vae, pixels, 5n, streams)
    expect(latents.shape).toEqual([pictures.length, 4, 3, 4])
    const values = (await latents.read()) as Float32Array
    pixels.dispose()
    latents.dispose()
    return values
  }
  const [a, b] = [bytes(32 * 24 * 3, 7), bytes(32 * 24 * 3, 13)]

  it('gives a picture the same latent in any batch', async () => {
    const pair = await latentsOf([a, b], [10n, 11n])
    expect(await latentsOf([b], [11n])).toEqual(pair.subarray(pair.length / 2))
  })

  it('draws another latent of the same picture from another stream', async () => {
    expect(await latentsOf([a], [1n])).not.toEqual(await latentsOf([a], [2n]))
  })
})
