import { join } from 'node:path'
import { channelsFirst, channelsLast, type Latent, type LatentSize } from '../../data/latentFiles.ts'
import { latentKey } from '../../data/latentKey.ts'
import { ArrayStore, type ArrayStoreOptions } from '../../io/arrayStore.ts'
import { bytesOf, bytesToFloat32 } from '../../io/tensorBytes.ts'
import { userCacheFolder } from '../../io/userCacheFolder.ts'
import type { Vae } from '../../models/stableDiffusion/vae.ts'
import { vaeFingerprint } from './fingerprints.ts'

/** The folder of the caches: `noisewright` in the one given, or in the user's cache folder. */
export function cachesFolder(cacheFolder?: string | null): string {
  return join(cacheFolder ?? userCacheFolder(), 'noisewright')
}

export type LatentLookup =
  | { readonly found: 'latent'; readonly latent: Latent }
  | { readonly found: 'nothing' }
  | { readonly found: 'damage'; readonly problem: string }

/** The name of the array in an entry, float32 [c, h, w] as in the newer layout of other trainers. */
const ARRAY = 'latents'

/** Latents of one VAE in a folder that runs and processes share. See `latentKey` for what an entry's name is made of. */
export class LatentStore {
  readonly #store: ArrayStore
  readonly #encoder: string

  private constructor(store: ArrayStore, encoder: string) {
    this.#store = store
    this.#encoder = encoder
  }

  /**
   * @param folder see `cachesFolder`
   * @param vae its weights are read once, for its fingerprint
   */
  static async open(folder: string, vae: Vae, options: ArrayStoreOptions = {}): Promise<LatentStore> {
    return new LatentStore(new ArrayStore(join(folder, 'latents'), options), await vaeFingerprint(vae))
  }

  /** The file of a picture's latent. @param picture see `pictureKey` */
  pathOf(picture: string): string {
    return this.#store.pathOf(latentKey(picture, this.#encoder))
  }

  /** @throws IoError when there is a file that cannot be read */
  async read(picture: string, { width, height, channels }: LatentSize): Promise<LatentLookup> {
    const lookup = await this.#store.read(latentKey(picture, this.#encoder))
    if (lookup.found !== 'arrays') return lookup
    const array = lookup.arrays.get(ARRAY)
    const problem = `${this.pathOf(picture)}: expected float32 "${ARRAY}" of shape [${channels}, ${height}, ${width}]`
    if (array?.dtype !== 'F32' || String(array.shape) !== String([channels, height, width]))
      return { found: 'damage', problem }
    const values = channelsLast(bytesToFloat32(array.bytes, 'F32'), channels)
    if (!values.every(Number.isFinite)) return { found: 'damage', problem: `${problem} with finite values` }
    return { found: 'latent', latent: { values, shape: [height, width, channels] } }
  }

  /** @throws IoError when the entry cannot be written */
  async write(picture: string, { values, shape: [h, w, c] }: Latent): Promise<void> {
    const array = { dtype: 'F32', shape: [c, h, w], bytes: bytesOf(channelsFirst(values, c)) } as const
    await this.#store.write(latentKey(picture, this.#encoder), new Map([[ARRAY, array]]))
  }
}
