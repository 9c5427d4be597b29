import { createHash } from 'node:crypto'
import type { Vae } from '../models/stableDiffusion/vae.ts'

/**
 * A hash of everything in a VAE that decides latents: its encoder's weights as loaded, in their precision, and its sizes. Two
 * files with the same weights have the same fingerprint, whatever their form; the decoder does not count.
 *
 * @returns 64 hexadecimal digits
 */
export async function vaeFingerprint(vae: Vae): Promise<string> {
  const { blockOutChannels, layersPerBlock, groups, latentChannels } = vae.config
  const hash = createHash('sha256')
  hash.update(JSON.stringify([vae.registry.dtype, blockOutChannels, layersPerBlock, groups, latentChannels]))
  const parts = [...vae.registry.parameters.values()].filter(({ name }) => /^(encoder|quant_conv)\./.test(name))
  for (const { name, shape, tensor } of parts.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const { buffer, byteOffset, byteLength } = await tensor.read()
    hash.update(JSON.stringify([name, shape])).update(new Uint8Array(buffer, byteOffset, byteLength))
  }
  return hash.digest('hex')
}
