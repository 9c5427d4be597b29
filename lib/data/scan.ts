/** The first pass over the files of a subset: which pictures, how large, with which captions. */
import { sep } from 'node:path'
import type { DreamBoothSubset, SubsetConfig } from '../config/datasetConfig.ts'
import { DataError } from '../util/errors.ts'
import { mapLimited } from '../util/mapLimited.ts'
import { inSlices, Pace } from '../util/pace.ts'
import { type Fingerprint, statFiles } from '../util/statFiles.ts'
import type { Size } from './buckets.ts'
import {
  type Caption,
  captionCandidates,
  captionFromText,
  captionWithoutFile,
  readCaption,
  readIfPresent,
} from './captionFile.ts'
import { type Orientation, swapsSides } from './headerReader.ts'
import { decodeImage } from './image.ts'
import { explainNoImages, type FolderListing, listFolder } from './imageFolder.ts'
import { defaultMaxPixels, type ImageOptions, readImageHeader } from './imageHeader.ts'
import type { LatentFiles } from './latentFiles.ts'
import { withMasks } from './maskFolder.ts'
import { type CachedHeader, defaultScanCacheFolder, ScanCache } from './scanCache.ts'
import { captionAdvice, missingCaptions, skippedImages } from './scanRemarks.ts'

export interface ScannedImage {
  /** The key in the metadata of fine-tuning. Default: the path. */
  readonly key?: string
  readonly path: string
  /** Of the picture as it is used, turned by its orientation; of a picture that comes with latents, that of its training. */
  readonly size: Size
  /** How the stored picture is turned; 1: not at all. */
  readonly orientation: Orientation
  readonly caption: Caption
  /** The tags among the caption, where metadata tell them apart. */
  readonly tags?: string | undefined
  /** Used in place of the picture. */
  readonly latents?: LatentFiles
  /** The file of its loss mask. */
  readonly mask?: string
}

/** A subset and its pictures, in path order or in that of the metadata. */
export interface ScannedSubset {
  readonly config: SubsetConfig
  readonly images: readonly ScannedImage[]
}

export interface SubsetScan {
  /** Undefined when the subset is left out. */
  readonly subset: ScannedSubset | undefined
  readonly errors: readonly DataError[]
  readonly warnings: readonly string[]
  /** Set when the folder holds no picture: the error to raise if nothing else is left to train on. */
  readonly emptyFolder?: DataError
}

export interface ScanOptions extends ImageOptions {
  /** Whether a picture that cannot be read is an error, or is left out with a warning. Default error. */
  readonly onBadImage?: 'error' | 'skip'
  /** Whether a picture without a caption file, and without `class_tokens` in its place, is an error or has the empty caption and a warning. Default warn. */
  readonly onMissingCaption?: 'error' | 'warn'
  /**
   * The folder for notes about large folders of pictures, so that looking at them again opens no file that has not changed;
   * false: no notes. Default: `noisewright/scan` in the system's folder for caches.
   */
  readonly scanCache?: string | false
}

/** Files opened at a time. */
const concurrency = 8
/** Folders with fewer pictures are read as quickly without notes. */
const leastCached = 200

/**
 * Looks at every picture and caption of a subset. Problems are collected, not thrown. Only headers are read, except of a file
 * whose end looks wrong: it is decoded to be sure.
 */
export async function scanSubset(config: DreamBoothSubset, options: ScanOptions = {}): Promise<SubsetScan> {
  const { imageDir } = config
  let listing: FolderListing
  try {
    listing = await listFolder(imageDir)
    if (listing.images.length === 0) {
      return leftOut(new DataError(imageDir, `there are no pictures in this folder.${await explainNoImages(imageDir)}`))
    }
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    return { subset: undefined, errors: [error], warnings: [] }
  }

  const { onBadImage = 'error', onMissingCaption = 'warn', scanCache = defaultScanCacheFolder() } = options
  const isCached = scanCache !== false && listing.images.length >= leastCached
  const [cache, fingerprints] = isCached
    ? await Promise.all([ScanCache.open(scanCache, imageDir), statFiles(imageDir, [...listing.names])])
    : [undefined, new Map<string, Fingerprint>()]
  const scanner = new Scanner(config, listing.names, options, fingerprints, cache)
  const found: (ScannedImage | undefined)[] = []
  await inSlices(listing.images.length, (i) => {
    found.push(scanner.recall(listing.images[i]!))
  })
  const unknown = [...found.keys()].filter((i) => found[i] === undefined)
  const pace = new Pace()
  await mapLimited(unknown, concurrency, async (i) => {
    if (pace.due) await pace.pause()
    found[i] = await scanner.look(listing.images[i]!)
  })
  const readable = found.filter((image) => image !== undefined)
  const { images, ...masks } = await withMasks(config, readable, options)
  const { badImages, badCaptions } = scanner
  const warnings = [cache?.warning, await cache?.save(listing.names)].filter((warning) => warning !== undefined)
  if (onBadImage === 'skip' && images.length === 0 && badCaptions.length === 0) {
    const [first] = badImages.sort(byPath)
    return leftOut(new DataError(imageDir, `none of the pictures in this folder can be read: ${first?.message}`))
  }
  if (onBadImage === 'skip') warnings.push(...skippedImages(imageDir, badImages.sort(byPath), listing.images.length))
  const missing = missingCaptions(config, images, listing.names)
  const isEmpty = onMissingCaption === 'error' && config.classTokens === undefined
  const emptyCaptions = isEmpty ? missing.map((remark) => new DataError(imageDir, `${remark}. ${captionAdvice}`)) : []
  const errors = [...(onBadImage === 'skip' ? [] : badImages), ...badCaptions, ...emptyCaptions, ...masks.errors]
  return {
    subset: { config, images },
    errors: errors.sort(byPath),
    warnings: [...warnings, ...masks.warnings, ...(isEmpty ? [] : missing.map((remark) => `${imageDir}: ${remark}`))],
  }
}

function leftOut(emptyFolder: DataError): SubsetScan {
  return { subset: undefined, errors: [], warnings: [`${emptyFolder.message} The subset is left out.`], emptyFolder }
}

function byPath(a: DataError, b: DataError): number {
  return a.path < b.path ? -1 : 1
}

/** Looks at one picture after the other, remembers what it finds, and collects what is wrong. */
class Scanner {
  readonly badImages: DataError[] = []
  readonly badCaptions: DataError[] = []
  readonly #config: DreamBoothSubset
  readonly #names: ReadonlySet<string>
  readonly #options: ScanOptions
  /** Of every file in the folder, if there is a cache. */
  readonly #fingerprints: ReadonlyMap<string, Fingerprint>
  readonly #cache: ScanCache | undefined

  constructor(
    config: DreamBoothSubset,
    names: ReadonlySet<string>,
    options: ScanOptions,
    fingerprints: ReadonlyMap<string, Fingerprint>,
    cache: ScanCache | undefined,
  ) {
    this.#config = config
    this.#names = names
    this.#options = options
    this.#fingerprints = fingerprints
    this.#cache = cache
  }

  async look(path: string): Promise<ScannedImage | undefined> {
    const header = this.#knownHeader(path) ?? (await collect(this.#readHeader(path), this.badImages))
    if (header === undefined && this.#options.onBadImage === 'skip') return undefined
    const caption = await collect(readCaption(path, this.#config, this.#readCaption), this.badCaptions)
    if (header === undefined || caption === undefined) return undefined
    return this.#image(path, header, caption)
  }

  /** What `look` would find, where nothing has changed since an earlier scan. */
  recall(path: string): ScannedImage | undefined {
    const header = this.#knownHeader(path)
    const caption = header && this.#knownCaption(path)
    return caption && this.#image(path, header, caption)
  }

  #image(path: string, header: CachedHeader, caption: Caption): ScannedImage {
    const { ignoreExif = false } = this.#options
    const { width, height, orientation } = ignoreExif && header.format !== 'avif' ? asStored(header) : header
    return { path, size: { width, height }, orientation, caption }
  }

  #knownCaption(path: string): Caption | undefined {
    for (const file of captionCandidates(path, this.#config.captionExtension)) {
      const name = nameOf(file)
      if (!this.#names.has(name)) {
        // Elsewhere the system decides which names are the same.
        if (process.platform === 'linux') continue
        return undefined
      }
      const fingerprint = this.#fingerprints.get(name)
      const text = fingerprint && this.#cache?.caption(name, fingerprint)
      if (text === undefined || text === '') return undefined
      return captionFromText(file, text.startsWith('\ufeff') ? text.slice(1) : text, this.#config)
    }
    return captionWithoutFile(this.#config)
  }

  /** Of a file that has not changed. A picture that is too large is looked at again, to say so. */
  #knownHeader(path: string): CachedHeader | undefined {
    if (this.#cache === undefined) return undefined
    const name = nameOf(path)
    const fingerprint = this.#fingerprints.get(name)
    const header = fingerprint && this.#cache.header(name, fingerprint)
    const { maxPixels = defaultMaxPixels } = this.#options
    return header !== undefined && header.width * header.height <= maxPixels ? header : undefined
  }

  async #readHeader(path: string): Promise<CachedHeader> {
    const { maxPixels = defaultMaxPixels } = this.#options
    const { looksComplete, ...header } = await readImageHeader(path, { maxPixels })
    if (!looksComplete) await decodeImage(path, { maxPixels })
    const name = nameOf(path)
    const fingerprint = this.#fingerprints.get(name)
    if (fingerprint !== undefined) this.#cache?.setHeader(name, fingerprint, header)
    return header
  }

  /** Captions stand beside their pictures, so the listing tells which there are, but for how a system compares names. */
  readonly #readCaption = (file: string): Buffer | undefined | Promise<Buffer | undefined> => {
    const name = nameOf(file)
    const fingerprint = this.#fingerprints.get(name)
    if (fingerprint === undefined && process.platform === 'linux' && !this.#names.has(name)) return undefined
    if (this.#cache === undefined || fingerprint === undefined) return readIfPresent(file)
    const known = this.#cache.caption(name, fingerprint)
    return known === undefined ? this.#readNewCaption(file, fingerprint) : Buffer.from(known)
  }

  async #readNewCaption(file: string, fingerprint: Fingerprint): Promise<Buffer | undefined> {
    const bytes = await readIfPresent(file)
    if (bytes !== undefined) this.#cache?.setCaption(nameOf(file), fingerprint, bytes)
    return bytes
  }
}

async function collect<T>(work: Promise<T>, errors: DataError[]): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    errors.push(error)
    return undefined
  }
}

/** `basename` of a path that does not end in a separator, at a fraction of its cost. */
function nameOf(path: string): string {
  return path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf(sep)) + 1)
}

function asStored(header: CachedHeader): CachedHeader {
  const { format, width, height, orientation } = header
  if (!swapsSides(orientation)) return { format, width, height, orientation: 1 }
  return { format, width: height, height: width, orientation: 1 }
}
