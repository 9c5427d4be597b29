import type { Batch, BatchItem } from '../data/batches.ts'
import type { DatasetImage } from '../data/dataset.ts'
import type { DecodedImage } from '../data/image.ts'
import { readAlphaMask } from '../data/latentFiles.ts'
import { loadPicture, resizeMethod } from '../data/loadPicture.ts'
import { DataError } from '../util/errors.ts'
import { alphaMask, type Mask, mirrorMask, opaqueMask, reduceMask } from './alphaMask.ts'

/** The loss masks of a training's batches, at the size of latents. */
export class LossMasks {
  readonly #reduction: number
  readonly #ignoreExif: boolean
  /** Of pictures whose crop is always the same, not mirrored. */
  readonly #kept = new Map<DatasetImage, Mask>()

  /** @param reduction pixels per latent */
  constructor(reduction: number, ignoreExif: boolean) {
    this.#reduction = reduction
    this.#ignoreExif = ignoreExif
  }

  /**
   * The masks of a batch, [n, h, w]; null when no subset of its pictures has `alpha_mask`. Pictures without opacity, or of other
   * subsets, count everywhere.
   *
   * @param pictures of the items, where they are loaded anyway; else each picture's mask is made once and kept
   */
  async ofBatch({ items, size }: Batch, pictures: readonly DecodedImage[] = []): Promise<Float32Array | null> {
    if (!items.some(({ image }) => image.subset.alphaMask)) return null
    const masks = await Promise.all(items.map((item, at) => this.#ofItem(item, pictures[at])))
    const area = (size.width / this.#reduction) * (size.height / this.#reduction)
    const all = new Float32Array(items.length * area)
    masks.forEach(({ values }, at) => {
      all.set(values, at * area)
    })
    return all
  }

  async #ofItem({ image, crop, flip }: BatchItem, picture: DecodedImage | undefined): Promise<Mask> {
    const { width, height } = crop.target
    if (!image.subset.alphaMask) return opaqueMask(width / this.#reduction, height / this.#reduction)
    let mask = picture === undefined ? this.#kept.get(image) : reduceMask(alphaMask(picture), this.#reduction)
    if (mask === undefined) {
      mask = reduceMask(await this.#read(image), this.#reduction)
      this.#kept.set(image, mask)
    }
    return flip ? mirrorMask(mask) : mask
  }

  /** The mask of a picture that is not loaded otherwise: from the file of its latents, or from its own. */
  async #read({ crop, latents, path, subset }: DatasetImage): Promise<Mask> {
    const { width, height } = crop.target
    if (latents === undefined) {
      const method = resizeMethod(subset.resizeInterpolation, crop)
      return alphaMask(await loadPicture(path, crop, { method, ignoreExif: this.#ignoreExif, alpha: true }))
    }
    const stored = await readAlphaMask(latents.file)
    if (stored === null) return opaqueMask(width, height)
    if (stored.shape[0] === height && stored.shape[1] === width) return { width, height, values: stored.values }
    const message = `"alpha_mask" has the shape [${stored.shape.join(', ')}], expected [${height}, ${width}]: prepare the latents again`
    throw new DataError(latents.file, message)
  }
}
