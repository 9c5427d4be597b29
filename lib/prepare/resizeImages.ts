/** Copies of the pictures of a folder that are no larger than given areas. */
import { createReadStream } from 'node:fs'
import { extname, join, resolve } from 'node:path'
import { throwCollected } from '../data/dataErrors.ts'
import { type DecodedImage, decodeImage } from '../data/image.ts'
import { isFile, readFolder } from '../data/imageFolder.ts'
import { atomicWrite } from '../io/atomicWrite.ts'
import { makeFolder } from '../io/makeFolder.ts'
import { toIoError } from '../io/systemError.ts'
import { type ResizeMethod, resizeImage } from '../ops/resizeImage.ts'
import { tensor } from '../tensor/create.ts'
import { scope } from '../tensor/scope.ts'
import { ConfigError, DataError } from '../util/errors.ts'
import { mapLimited } from '../util/mapLimited.ts'

export interface ResizeImagesOptions {
  /** `WxH`, as in names of files; the product is the largest area in pixels. Default 512x512, 384x384, 256x256, 128x128. */
  readonly maxResolutions?: readonly string[]
  /** Both sides are cropped around the centre to multiples of this many pixels. Default 1. */
  readonly divisibleBy?: number
  /** Default area. */
  readonly method?: ResizeMethod
  /** Whether to write PNG in place of JPEG of quality 100. Default false. */
  readonly saveAsPng?: boolean
  /** Whether other files of a picture's name are copied with the picture's new names too. Default false. */
  readonly copyAssociatedFiles?: boolean
  /** Called for each file written. */
  readonly onFile?: (file: string, what: 'resized' | 'saved' | 'copied') => void
}

export interface ResizeImagesReport {
  /** Pictures read. */
  readonly images: number
  /** Files written: pictures, and copies of other files. */
  readonly files: number
  readonly warnings: readonly string[]
}

/** Only these, in lower case, are pictures to this tool; all else is copied. */
const extensions = ['.png', '.jpg', '.jpeg', '.webp', '.bmp']
/** Pictures in memory at a time. */
const atOnce = 2
const DEFAULT_RESOLUTIONS = ['512x512', '384x384', '256x256', '128x128'] as const

/**
 * Writes each picture of a folder as `<name>+<W>x<H>.jpg` for every area, shrunk if it is larger: sides by the root of the areas'
 * ratio, rounded down. Every size is made of the original picture. Files that are no pictures are copied; subfolders are not
 * looked into. Files of the same names are replaced.
 *
 * @param target made if it does not exist
 * @throws ConfigError for options that make no sense, or two pictures that would be written with one name: nothing is written
 *   then; DataError listing the pictures that cannot be read or would lose a whole side, when all others are done; IoError
 */
export async function resizeImages(
  source: string,
  target: string,
  options: ResizeImagesOptions = {},
): Promise<ResizeImagesReport> {
  const { maxResolutions = DEFAULT_RESOLUTIONS, divisibleBy = 1, method = 'area', onFile } = options
  const limits = readLimits(maxResolutions)
  checkOptions(source, target, divisibleBy)
  const entries = await readFolder(source)
  const isFileOf = await Promise.all(entries.map((entry) => isFile(source, entry)))
  const names = entries.filter((_, i) => isFileOf[i]).map(({ name }) => name)
  const isPicture = (name: string): boolean => extensions.includes(extname(name))
  const images = names.filter(isPicture)
  const others = names.filter((name) => !isPicture(name))
  const copies = others.map((name) => ({ name, copy: name }))
  if (options.copyAssociatedFiles) copies.push(...associatedCopies(images, others, limits))
  const encoding = options.saveAsPng ? 'png' : 'jpg'
  const nameOf = (image: string, limit: AreaLimit): string => `${baseOf(image)}+${limit.text}.${encoding}`
  checkNames([...images.flatMap((name) => limits.map((limit) => ({ name, copy: nameOf(name, limit) }))), ...copies])

  await makeFolder(target)
  const errors: DataError[] = []
  await mapLimited(images, atOnce, async (name) => {
    try {
      const picture = await decodeImage(join(source, name))
      for (const limit of limits) {
        const plan = planResize(join(source, name), picture, limit, divisibleBy)
        const file = join(target, nameOf(name, limit))
        await atomicWrite(file, await encode(await resized(picture, plan, method), plan, encoding))
        onFile?.(file, plan.width < picture.width ? 'resized' : 'saved')
      }
    } catch (error) {
      if (!(error instanceof DataError)) throw error
      errors.push(error)
    }
  })
  for (const { name, copy } of copies) {
    const file = join(target, copy)
    await atomicWrite(file, bytesOf(join(source, name)))
    onFile?.(file, 'copied')
  }
  throwCollected(errors.sort((a, b) => (a.path < b.path ? -1 : 1)))
  const left = entries.filter((_, i) => !isFileOf[i])
  return {
    images: images.length,
    files: images.length * limits.length + copies.length,
    warnings: left.map(({ name }) => `${join(source, name)}: not copied, it is no file`),
  }
}

/** The largest area of a picture, as it stands in the option and in names of files. */
interface AreaLimit {
  readonly text: string
  /** Pixels. */
  readonly area: number
}

function readLimits(texts: readonly string[]): AreaLimit[] {
  const limits = texts.map((text) => {
    const [, width, height] = /^(\d+)x(\d+)$/.exec(text) ?? []
    const area = Number(width) * Number(height)
    if (!Number.isSafeInteger(area) || area === 0)
      throw new ConfigError(`--max_resolution: expected sizes such as 512x512, found ${JSON.stringify(text)}`, optionOf)
    return { text, area }
  })
  if (limits.length === 0 || new Set(texts).size < texts.length)
    throw new ConfigError(`--max_resolution: expected different sizes, found ${texts.join(', ')}`, optionOf)
  return limits
}

const optionOf = { option: 'max_resolution' } as const

function checkOptions(source: string, target: string, divisibleBy: number): void {
  if (!Number.isSafeInteger(divisibleBy) || divisibleBy < 1)
    throw new ConfigError(`--divisible_by must be a whole number from 1, found ${divisibleBy}`, {
      option: 'divisible_by',
    })
  if (resolve(source) === resolve(target))
    throw new ConfigError(`${target}: the folder to be written must be another than the one that is read`)
}

function baseOf(name: string): string {
  return name.slice(0, name.length - extname(name).length)
}

/** `frog.txt` as `frog+512x512.txt`, beside `frog.png`. */
function associatedCopies(images: readonly string[], others: readonly string[], limits: readonly AreaLimit[]) {
  const bases = new Set(images.map(baseOf))
  return others.flatMap((name) => {
    const dots = [...name.matchAll(/\./g)].map(({ index }) => index).filter((dot) => bases.has(name.slice(0, dot)))
    return dots.flatMap((dot) =>
      limits.map(({ text }) => ({ name, copy: `${name.slice(0, dot)}+${text}${name.slice(dot)}` })),
    )
  })
}

async function* bytesOf(path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path) as AsyncIterable<Uint8Array>
  } catch (error) {
    throw toIoError(path, 'read', error)
  }
}

/** Two files of one name would replace each other. */
function checkNames(files: readonly { readonly name: string; readonly copy: string }[]): void {
  const sources = new Map<string, string>()
  const problems: string[] = []
  for (const { name, copy } of files) {
    const other = sources.get(copy)
    if (other !== undefined) problems.push(`${other} and ${name} would both be written as ${copy}`)
    sources.set(copy, name)
  }
  if (problems.length > 0) throw new ConfigError(`${problems.join('\n')}\nRename one of each pair; nothing was written`)
}

/** A picture's new size, and what of it stays. */
interface ResizePlan {
  /** After resizing. */
  readonly width: number
  readonly height: number
  readonly crop: { readonly left: number; readonly top: number; readonly width: number; readonly height: number }
}

function planResize(path: string, size: DecodedImage, { text, area }: AreaLimit, divisibleBy: number): ResizePlan {
  const factor = size.width * size.height > area ? Math.sqrt(area / (size.width * size.height)) : 1
  const [width, height] = [Math.trunc(size.width * factor), Math.trunc(size.height * factor)]
  const crop = { width: width - (width % divisibleBy), height: height - (height % divisibleBy) }
  if (crop.width === 0 || crop.height === 0)
    throw new DataError(
      path,
      `${size.width}x${size.height} pixels become ${width}x${height} for ${text}, of which nothing is left that is divisible by ${divisibleBy}`,
    )
  const [left, top] = [Math.trunc((width - crop.width) / 2), Math.trunc((height - crop.height) / 2)]
  return { width, height, crop: { left, top, ...crop } }
}

async function resized(image: DecodedImage, { width, height }: ResizePlan, method: ResizeMethod): Promise<Uint8Array> {
  if (image.width === width && image.height === height) return image.pixels
  const result = scope(() =>
    resizeImage(tensor(image.pixels, [image.height, image.width, 3]), { width, height, method }),
  )
  const pixels = (await result.read()) as Uint8Array
  result.dispose()
  return pixels
}

async function encode(pixels: Uint8Array, { width, height, crop }: ResizePlan, as: 'png' | 'jpg'): Promise<Uint8Array> {
  const { default: sharp } = await import('sharp')
  const picture = sharp(pixels, { raw: { width, height, channels: 3 } }).extract(crop)
  return as === 'png' ? picture.png().toBuffer() : picture.jpeg({ quality: 100 }).toBuffer()
}
