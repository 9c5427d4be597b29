import type { Batch, BatchItem } from '../../data/batches.ts'
import type { DatasetImage } from '../../data/dataset.ts'
import type { DecodedImage } from '../../data/image.ts'
import { readAlphaMask } from '../../data/latentFiles.ts'
import { loadPicture, resizeMethod } from '../../data/loadPicture.ts'
import { DataError } from '../../util/errors.ts'
import { mapLimited } from '../../util/mapLimited.ts'
import { alphaMask, type Mask, mirrorMask, opaqueMask, redMask, reduceMask } from './mask.ts'

/** Files opened at a time. */
const concurrency = 8

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
   * The masks of a batch, [n, h, w]; null when none of its pictures has one: a file of its own, or opacity where its subset has
   * `alpha_mask`. Pictures without one count everywhere.
   */
  async ofBatch({ items }: Batch): Promise<Float32Array | null> {
    return this.join(await mapLimited(items, concurrency, (item) => this.ofItem(item)))
  }

  /**
   * The mask of one use, cropped and mirrored as its picture; null where the subset has none. A mask that is the same for every use is read
   * once and kept.
   *
   * @param picture where it is loaded anyway, with its opacity
   * @throws DataError when the mask cannot be read, or has not the size of its picture
   */
  async ofItem(item: BatchItem, picture?: DecodedImage): Promise<Mask | null> {
    const { image, crop, flip } = item
    if (image.mask === undefined && !image.subset.alphaMask) return null
    const isKept = crop === image.crop && (image.mask !== undefined || picture === undefined)
    const known = isKept ? this.#kept.get(image) : undefined
    const mask = known ?? reduceMask(await this.#read(item, picture), this.#reduction)
    if (isKept) this.#kept.set(image, mask)
    return flip ? mirrorMask(mask) : mask
  }

  /** Masks of one size, null for those that count everywhere, in one array; null when all are null. */
  join(masks: readonly (Mask | null)[]): Float32Array | null {
    const some = masks.find((mask) => mask !== null)
    if (some === undefined || some === null) return null
    const { width, height } = some
    const all = new Float32Array(masks.length * width * height)
    masks.forEach((mask, at) => {
      all.set((mask ?? opaqueMask(width, height)).values, at * width * height)
    })
    return all
  }

  /** In pixels: from a file of its own, from the picture, or from the file of its latents. */
  async #read({ image, crop }: BatchItem, picture: DecodedImage | undefined): Promise<Mask> {
    const { latents, path, subset, mask } = image
    const ignoreExif = this.#ignoreExif
    if (mask !== undefined) return redMask(await loadPicture(mask, crop, { ignoreExif }))
    if (picture !== undefined) return alphaMask(picture)
    if (latents === undefined) {
      const method = resizeMethod(subset.resizeInterpolation, crop)
      return alphaMask(await loadPicture(path, crop, { method, ignoreExif, alpha: true }))
    }
    const { width, height } = crop.target
    const stored = await readAlphaMask(latents.file)
    if (stored === null) return opaqueMask(width, height)
    if (stored.shape[0] === height && stored.shape[1] === width) return { width, height, values: stored.values }
    const message = `"alpha_mask" has the shape [${stored.shape.join(', ')}], expected [${height}, ${width}]: prepare the latents again`
    throw new DataError(latents.file, message)
  }
}
