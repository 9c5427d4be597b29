/** The model that comes with the package. */
import { stat } from 'node:fs/promises'
import { assetPath } from '../util/assets.ts'

/** Its name wherever a model is named by a path or a hub id. */
export const shippedModelName = 'miniature'

/**
 * The path of the shipped model where a user's words mean it; other words as they are. What exists on this machine by that name comes first.
 * @throws IoError when the package is incomplete
 */
export async function withShippedModel(words: string): Promise<string> {
  if (words !== shippedModelName || (await stat(words).catch(() => null)) !== null) return words
  return assetPath('miniature/model')
}
