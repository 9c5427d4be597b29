import type { Batch, BatchItem } from '../data/batches.ts'
import type { DatasetImage } from '../data/dataset.ts'
import { type DecodedImage, decodeImage } from '../data/image.ts'
import { readAlphaMask } from '../data/latentFiles.ts'
import { DataError } from '../util/errors.ts'
import { alphaMask, type Mask, mirrorMask, opaqueMask, reduceMask } from './alphaMask.ts'
import { methodOf } from './latents.ts'

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
   * @param pictures of the items, where they are decoded anyway; else each picture's mask is made once and kept
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

  async #ofItem(item: BatchItem, picture: DecodedImage | undefined): Promise<Mask> {
    const { image, crop, flip } = item
    const method = methodOf(image.subset.resizeInterpolation, crop)
    if (!image.subset.alphaMask)
      return opaqueMask(crop.target.width / this.#reduction, crop.target.height / this.#reduction)
    if (picture !== undefined) return reduceMask(await alphaMask(picture, crop, flip, method), this.#reduction)
    let mask = this.#kept.get(image)
    if (mask === undefined) {
      mask = reduceMask(await this.#read(item), this.#reduction)
      this.#kept.set(image, mask)
    }
    return flip ? mirrorMask(mask) : mask
  }

  /** The mask of a picture that is not decoded otherwise: from the file of its latents, or from its own. */
  async #read({ image }: BatchItem): Promise<Mask> {
    const { crop, latents, path, subset } = image
    const { width, height } = crop.target
    if (latents !== undefined) {
      const stored = await readAlphaMask(latents.file)
      if (stored === null) return opaqueMask(width, height)
      if (stored.shape[0] === height && stored.shape[1] === width) return { width, height, values: stored.values }
      const message = `"alpha_mask" has the shape [${stored.shape.join(', ')}], expected [${height}, ${width}]: prepare the latents again`
      throw new DataError(latents.file, message)
    }
    const picture = await decodeImage(path, { ignoreExif: this.#ignoreExif, alpha: true })
    return alphaMask(picture, crop, false, methodOf(subset.resizeInterpolation, crop))
  }
}
