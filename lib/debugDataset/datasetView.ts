/** What the model will see of a group of data sets, batch by batch: the facts that the page, the file and the terminal show. */

import { subsetPlace } from '../config/datasetConfig.ts'
import { type Batch, type BatchItem, type EpochProgress, epochBatches } from '../data/batches.ts'
import type { DatasetGroup } from '../data/datasetGroup.ts'
import type { ShownCaptions } from '../train/inputs/shownCaptions.ts'
import { ArgumentError } from '../util/errors.ts'
import { findRemarks, type PictureRemarks } from './remarks.ts'

/** One picture of a batch. */
export interface ItemView {
  /** Position in the batch. */
  readonly slot: number
  readonly path: string
  /** The subset's folder or metadata file. */
  readonly subset: string
  /** What is encoded for this use: the caption after every option, or a sentence in its place. */
  readonly caption: string
  /** The caption's tokens as texts, cut to the length that is used. */
  readonly tokens: readonly string[]
  /** Tokens that did not fit. */
  readonly droppedTokens: number
  readonly flip: boolean
  /** What is changed of its colours. */
  readonly color: 'hue' | 'gamma' | null
  /** The file of the latents that are used in place of the picture. */
  readonly latents: string | null
  readonly repeats: number
  readonly isReg: boolean
  readonly lossWeight: number
  /** Pixels of the picture itself; with latents, of its training. */
  readonly source: { readonly width: number; readonly height: number }
  /** The part of the picture that is used, as shares of its width and height. */
  readonly cropBox: { readonly left: number; readonly top: number; readonly width: number; readonly height: number }
  /** What is worth a look: a copy, damage, a size smaller than that of training. */
  readonly remarks: readonly string[]
}

export interface BatchView {
  readonly epoch: number
  /** From 0, in the order of the epoch. */
  readonly index: number
  readonly batchesPerEpoch: number
  /** The optimizer step that the batch is part of, from 1. */
  readonly step: number
  readonly dataset: number
  /** Training size. */
  readonly width: number
  readonly height: number
  readonly items: readonly ItemView[]
}

/** Which batches to look at. Both must fit. */
export interface BatchFilter {
  /** `512x640`. */
  readonly bucket?: string | undefined
  readonly subset?: string | undefined
}

export interface DatasetSummary {
  readonly trainImageCount: number
  readonly regImageCount: number
  readonly batchesPerEpoch: number
  readonly buckets: readonly { readonly name: string; readonly pictures: number }[]
  readonly subsets: readonly { readonly name: string; readonly pictures: number; readonly isReg: boolean }[]
  readonly warnings: readonly string[]
}

export interface DatasetViewOptions {
  /** What captions are encoded as. */
  readonly captions: ShownCaptions
  /** Whether the orientation that EXIF data tell is passed over. Default false. */
  readonly ignoreExif?: boolean
  /** Optimizer steps of the training, for captions that grow with it. Default 0: not known. */
  readonly totalSteps?: number
  /** Batches that add up to one optimizer step. Default 1. */
  readonly batchesPerStep?: number
  /** With more pictures than this, look-alikes are searched while the view is in use already. Default: none are too many. */
  readonly mostAwaited?: number
  /** Called after each picture that was decoded to see how it looks. */
  readonly onLook?: ((done: number, total: number) => void) | undefined
  /** Ends what is done in the background. */
  readonly signal?: AbortSignal | undefined
}

type ViewSettings = Required<Pick<DatasetViewOptions, 'captions' | 'ignoreExif' | 'totalSteps' | 'batchesPerStep'>>

/** Every batch of every epoch, as training would draw it. */
export class DatasetView {
  readonly group: DatasetGroup
  readonly #options: ViewSettings
  readonly #remarks: PictureRemarks
  readonly #epochs = new Map<number, readonly Batch[]>()

  private constructor(group: DatasetGroup, options: ViewSettings, remarks: PictureRemarks) {
    this.group = group
    this.#options = options
    this.#remarks = remarks
  }

  /** Looks for copies and look-alikes first, which decodes every picture once. */
  static async open(group: DatasetGroup, options: DatasetViewOptions): Promise<DatasetView> {
    const complete = { ignoreExif: false, totalSteps: 0, batchesPerStep: 1, ...options }
    return new DatasetView(group, complete, await findRemarks(group, complete))
  }

  /** Settles when look-alikes have been searched. */
  get searched(): Promise<void> {
    return this.#remarks.done
  }

  /** How pictures are to be read. */
  get ignoreExif(): boolean {
    return this.#options.ignoreExif
  }

  get summary(): DatasetSummary {
    const { group } = this
    const buckets = new Map<string, number>()
    for (const { buckets: own } of group.datasets)
      for (const { size, entries } of own) {
        const name = sizeName(size)
        buckets.set(name, (buckets.get(name) ?? 0) + entries.length)
      }
    const subsets = group.datasets.flatMap((dataset) =>
      dataset.subsets.map(({ config, images }) => ({
        name: subsetPlace(config),
        pictures: images.length,
        isReg: config.isReg,
      })),
    )
    return {
      trainImageCount: group.trainImageCount,
      regImageCount: group.regImageCount,
      batchesPerEpoch: group.batchesPerEpoch,
      buckets: Array.from(buckets, ([name, pictures]) => ({ name, pictures })),
      subsets: [...new Map(subsets.map((subset) => [subset.name, subset])).values()],
      warnings: [...group.warnings, ...this.#remarks.summary],
    }
  }

  /** @param epoch from 1 @param index from 0 @throws ArgumentError outside the epoch */
  batch(epoch: number, index: number): BatchView {
    const { dataset, size, items } = this.#batchAt(epoch, index)
    const texts = this.#options.captions.ofBatch(
      items.map(({ caption }) => caption),
      { epoch, batch: index },
    )
    const { firstStep, batchesPerStep } = this.#progressOf(epoch)
    return {
      epoch,
      index,
      batchesPerEpoch: this.group.batchesPerEpoch,
      step: firstStep + Math.floor(index / batchesPerStep) + 1,
      dataset,
      ...size,
      items: items.map((item, slot) => this.#describe(item, slot, texts[slot]!)),
    }
  }

  /** The item behind an `ItemView`. */
  item(epoch: number, index: number, slot: number): BatchItem {
    const item = this.#batchAt(epoch, index).items[slot]
    if (item === undefined) throw new ArgumentError('item', 'slot', 'a position in the batch', String(slot))
    return item
  }

  /** The first batch at or after `index` that fits, or undefined when the rest of the epoch has none. */
  findBatch(epoch: number, index: number, { bucket, subset }: BatchFilter): number | undefined {
    const fits = ({ size, items }: Batch): boolean =>
      (bucket === undefined || sizeName(size) === bucket) &&
      (subset === undefined || items.some(({ image }) => subsetPlace(image.subset) === subset))
    const batches = this.#batchesOf(epoch)
    const found = batches.findIndex((batch, at) => at >= index && fits(batch))
    return found < 0 ? undefined : found
  }

  #batchAt(epoch: number, index: number): Batch {
    const batch = this.#batchesOf(epoch)[index]
    if (batch === undefined) {
      const expected = `from 0 to ${this.group.batchesPerEpoch - 1}`
      throw new ArgumentError('batch', 'index', expected, String(index))
    }
    return batch
  }

  #batchesOf(epoch: number): readonly Batch[] {
    if (!Number.isInteger(epoch) || epoch < 1) throw new ArgumentError('batch', 'epoch', 'from 1', String(epoch))
    const known = this.#epochs.get(epoch)
    if (known !== undefined) return known
    const batches = [...epochBatches(this.group, epoch, { progress: this.#progressOf(epoch) })]
    // Two epochs are enough to go back and forth; every other one is drawn again, and comes out the same.
    if (this.#epochs.size > 1) this.#epochs.delete(this.#epochs.keys().next().value!)
    this.#epochs.set(epoch, batches)
    return batches
  }

  #progressOf(epoch: number): EpochProgress {
    const { batchesPerStep, totalSteps } = this.#options
    return {
      firstStep: (epoch - 1) * Math.ceil(this.group.batchesPerEpoch / batchesPerStep),
      batchesPerStep,
      totalSteps,
    }
  }

  #describe(item: BatchItem, slot: number, caption: string): ItemView {
    const { image, flip, lossWeight, crop, color } = item
    const { limit, tokensOf } = this.#options.captions
    const tokens = tokensOf(caption)
    return {
      slot,
      path: image.path,
      subset: subsetPlace(image.subset),
      caption,
      tokens: tokens.slice(0, limit),
      droppedTokens: Math.max(0, tokens.length - limit),
      flip,
      color: color === undefined ? null : color.kind,
      latents: image.latents?.file ?? null,
      repeats: image.repeats,
      isReg: image.subset.isReg,
      lossWeight,
      source: crop.source,
      cropBox: {
        left: crop.left / crop.resized.width,
        top: crop.top / crop.resized.height,
        width: crop.target.width / crop.resized.width,
        height: crop.target.height / crop.resized.height,
      },
      remarks: this.#remarks.of(image.path),
    }
  }
}

/** `512x640`. */
function sizeName({ width, height }: { readonly width: number; readonly height: number }): string {
  return `${width}x${height}`
}
