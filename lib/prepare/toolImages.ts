/** Which pictures the preparation tools work on, and by which names. */
import { join } from 'node:path'
import { isFile, readFolder } from '../data/imageFolder.ts'

/** A picture of a folder. */
export interface ToolImage {
  /** The folder as written, tidied as Python's `pathlib` does, and the way from there: what `--full_path` makes the key. */
  readonly path: string
  /** The path without the extension. */
  readonly base: string
  /** The file's name without the extension: the key otherwise. */
  readonly stem: string
}

export interface ToolImageOptions {
  /** Look into subfolders, links to folders excepted. Default false. */
  readonly recursive?: boolean
}

const imageName = /^(?<stem>.*)\.(?:png|jpe?g|webp|bmp|avif)$/is

/**
 * The pictures of a folder, told by extensions in any case, hidden ones included, in the order of the paths' parts: `a/z.png`
 * before `a.png`. Training lists pictures by other rules (`listImages`).
 *
 * @throws DataError when the folder is missing
 */
export async function listToolImages(
  folder: string,
  { recursive = false }: ToolImageOptions = {},
): Promise<ToolImage[]> {
  const start = tidyPath(folder)
  const found: ToolImage[] = []
  // Entries come in the order of their names, and names are the parts of paths.
  const walk = async (parts: readonly string[]): Promise<void> => {
    const place = join(folder, ...parts)
    for (const entry of await readFolder(place)) {
      if (recursive && entry.isDirectory()) await walk([...parts, entry.name])
      const match = imageName.exec(entry.name)
      if (match === null || !(await isFile(place, entry))) continue
      // A name that is nothing but an extension is a name without one.
      const stem = match.groups!.stem || entry.name
      found.push({ path: joinTidy(start, [...parts, entry.name]), base: joinTidy(start, [...parts, stem]), stem })
    }
  }
  await walk([])
  return found
}

/** A path as `str(pathlib.Path(text))` gives it: without `.`, repeated slashes and one at the end; `..` stays. */
export function tidyPath(text: string): string {
  const slashes = /^\/*/.exec(text)![0].length
  // Two slashes at the start have a meaning of their own in POSIX; three have not.
  const root = slashes === 2 ? '//' : slashes > 0 ? '/' : ''
  const parts = text.split('/').filter((part) => part !== '' && part !== '.')
  return root + parts.join('/') || '.'
}

function joinTidy(start: string, parts: readonly string[]): string {
  const inner = parts.join('/')
  if (start === '.') return inner
  return start.endsWith('/') ? start + inner : `${start}/${inner}`
}
