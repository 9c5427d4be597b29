/** Hashes of everything in a part of a model that decides what it makes: two files with the same weights have the same, whatever their form. */
import { createHash } from 'node:crypto'
import type { ClipTextModel } from '../../models/clip/textModel.ts'
import type { Vae } from '../../models/stableDiffusion/vae.ts'
import type { ParameterRecord } from '../../nn/weights.ts'

/**
 * Of a VAE's encoder: its weights as loaded, in their precision, and its sizes. The decoder does not count.
 *
 * @returns 64 hexadecimal digits
 */
export function vaeFingerprint(vae: Vae): Promise<string> {
  const { blockOutChannels, layersPerBlock, groups, latentChannels } = vae.config
  const parts = [...vae.registry.parameters.values()].filter(({ name }) => /^(encoder|quant_conv)\./.test(name))
  return hashOf([vae.registry.dtype, blockOutChannels, layersPerBlock, groups, latentChannels], parts)
}

/**
 * Of a text encoder: its weights as they are now, those stored in 8 bits as such, embeddings that were added, the type it is computed
 * in, and its sizes.
 *
 * @returns 64 hexadecimal digits
 */
export function textEncoderFingerprint({ config, registry, addedEmbedding }: ClipTextModel): Promise<string> {
  const { vocabSize, hiddenSize, intermediateSize, layers, heads, positions, activation, ...rest } = config
  // A new size must become a part of the hash: then this line no longer compiles.
  rest satisfies Record<string, never>
  const sizes = [vocabSize, hiddenSize, intermediateSize, layers, heads, positions, activation]
  const added = addedEmbedding === null ? [] : [{ name: 'added', shape: addedEmbedding.shape, tensor: addedEmbedding }]
  return hashOf([registry.dtype, ...sizes], [...registry.parameters.values(), ...added])
}

async function hashOf(
  facts: readonly unknown[],
  parameters: readonly Pick<ParameterRecord, 'name' | 'shape' | 'tensor'>[],
): Promise<string> {
  const hash = createHash('sha256')
  hash.update(JSON.stringify(facts))
  for (const { name, shape, tensor } of parameters.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const { buffer, byteOffset, byteLength } = await tensor.read()
    hash.update(JSON.stringify([name, shape])).update(new Uint8Array(buffer, byteOffset, byteLength))
  }
  return hash.digest('hex')
}
