/** Captions and tags from the files beside pictures into a metadata file. */
import { readFile, stat } from 'node:fs/promises'
import { decodeUtf8 } from '../data/captionFile.ts'
import { throwCollected } from '../data/dataErrors.ts'
import { MetadataEntry } from '../metadata/metadataEntry.ts'
import { type Metadata, readMetadata } from '../metadata/readMetadata.ts'
import { writeMetadata } from '../metadata/writeMetadata.ts'
import { ConfigError, DataError } from '../util/errors.ts'
import { mapLimited } from '../util/mapLimited.ts'
import { pythonStrip } from '../util/pythonStrip.ts'
import { listToolImages, type ToolImage } from './toolImages.ts'

export interface MergeTextsOptions {
  /** The metadata to add to. Default: the target if it exists, else nothing. */
  readonly inJson?: string | undefined
  /** Whether keys are paths, as of the folder that was given, instead of names without extension. Default false. */
  readonly fullPath?: boolean
  /** Whether subfolders are looked into. Needs `fullPath`. Default false. */
  readonly recursive?: boolean
  /** Of the files with the texts, with its dot. Default `.caption` for captions, `.txt` for tags. */
  readonly extension?: string | undefined
  /** Called for each text. */
  readonly onText?: (key: string, text: string) => void
}

export interface MergeTextsReport {
  /** Pictures found. */
  readonly images: number
  /** Entries of the file that was written. */
  readonly entries: number
  /** The metadata that was added to, if there was one. */
  readonly read: string | undefined
  readonly warnings: readonly string[]
}

const defaultExtensions = { caption: '.caption', tags: '.txt' } as const
/** Files opened at a time. */
const concurrency = 8
/**
 * Puts the text beside each picture of a folder into the picture's metadata, as its `caption` or its `tags`. White space around a
 * text is removed, newlines inside it stay, as `\n`. Entries of other pictures and other fields are kept.
 *
 * @throws ConfigError for options that do not fit each other; DataError when the folder is missing, or texts are missing or not
 *   UTF-8, with the names of all of them; IoError and DataError for the metadata file. Nothing is written then
 */
export async function mergeTexts(
  field: 'caption' | 'tags',
  folder: string,
  outJson: string,
  options: MergeTextsOptions = {},
): Promise<MergeTextsReport> {
  const { fullPath = false, recursive = false, extension = defaultExtensions[field], onText } = options
  checkOptions(fullPath, recursive, extension)
  const images = await listToolImages(folder, { recursive })
  const read = options.inJson ?? ((await isFile(outJson)) ? outJson : undefined)
  const metadata: Metadata = read === undefined ? { entries: new Map(), warnings: [] } : await readMetadata(read)
  const warnings = [...metadata.warnings]
  const texts = await readTexts(images, extension)
  for (const [index, { path, base, stem }] of images.entries()) {
    const key = fullPath ? path : stem
    const text = texts[index]!
    if (text.startsWith('\ufeff'))
      warnings.push(`${base}${extension}: the byte order mark at its start stays in the text; save it without one`)
    const entry = metadata.entries.get(key) ?? new MetadataEntry()
    metadata.entries.set(key, entry)
    entry.set(field, text)
    onText?.(key, text)
  }
  await writeMetadata(outJson, metadata.entries)
  return { images: images.length, entries: metadata.entries.size, read, warnings }
}

function checkOptions(fullPath: boolean, recursive: boolean, extension: string): void {
  if (recursive && !fullPath) {
    const reason = 'pictures of the same name in two folders would share an entry'
    throw new ConfigError(`--recursive needs --full_path: ${reason}`, { option: 'recursive' })
  }
  if (!/^\.[^/]+$/.test(extension)) {
    const found = JSON.stringify(extension)
    throw new ConfigError(`--caption_extension must begin with a dot, such as ".txt", found ${found}`, {
      option: 'caption_extension',
    })
  }
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (status) => status.isFile(),
    () => false,
  )
}

async function readTexts(images: readonly ToolImage[], extension: string): Promise<string[]> {
  const errors: DataError[] = []
  const texts = await mapLimited(images, concurrency, async ({ path, base }) => {
    const file = base + extension
    try {
      const text = decodeUtf8(file, await readFile(file), { keepMark: true })
      return pythonStrip(text.replace(/\r\n?/g, '\n'))
    } catch (error) {
      errors.push(error instanceof DataError ? error : unreadable(file, path, error))
      return ''
    }
  })
  errors.sort((a, b) => (a.path < b.path ? -1 : 1))
  throwCollected(errors)
  return texts
}

function unreadable(file: string, image: string, error: unknown): DataError {
  const { code, message } = error as NodeJS.ErrnoException
  const reason = code === 'ENOENT' ? `there is no such file for the picture ${image}` : `cannot be read: ${message}`
  return new DataError(file, reason, { cause: error })
}
