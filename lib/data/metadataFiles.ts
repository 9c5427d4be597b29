/** From a key of fine-tuning metadata to the picture and the latents that it stands for. */
import { extname, isAbsolute, relative, resolve, sep } from 'node:path'
import { FileIndex } from './fileIndex.ts'
import { compareCodePoints, imageExtensions } from './imageFolder.ts'
import { type LatentFiles, latentFileName } from './latentFiles.ts'

/** What was found for a key. */
export interface KeyFiles {
  readonly picture: string | undefined
  readonly latents: LatentFiles | undefined
  /** A file that exists but is not used, since it lies outside `image_dir`. */
  readonly outside: string | undefined
  /** Further pictures that the key would fit as well. */
  readonly others: readonly string[]
}

/** In the order in which they are looked for. */
const extensionsInOrder = [...imageExtensions, ...imageExtensions.map((extension) => extension.toUpperCase())].sort(
  compareCodePoints,
)

export class KeyFinder {
  readonly #index = new FileIndex()
  readonly #imageDir: string | undefined
  readonly #root: string | undefined

  /**
   * @param imageDir where files are looked for whose keys are not paths
   * @param allowOutside whether files outside `imageDir` are used, should there be one. A metadata file may come from anybody:
   *   with a folder given, its keys do not lead out of it. Without one, keys are paths, and where they lead is their meaning.
   *   Links inside the folder are followed
   */
  constructor(imageDir: string | undefined, allowOutside: boolean) {
    this.#imageDir = imageDir
    this.#root = imageDir === undefined || allowOutside ? undefined : resolve(imageDir)
  }

  /**
   * The picture is the key as a path, else the key in the folder with an image extension. Latents are the key with `.npz` in
   * place of its extension, else in the folder with `.npz` after it; mirrored ones stand beside them.
   *
   * @throws DataError when a folder cannot be read
   */
  async find(key: string): Promise<KeyFiles> {
    const outside: string[] = []
    const inFolder = this.#inFolder(key)
    const pictures = [key, ...(inFolder === undefined ? [] : extensionsInOrder.map((each) => inFolder + each))]
    const found: string[] = []
    for (const candidate of pictures) if (await this.#accepts(candidate, outside)) found.push(candidate)
    const [picture, ...rest] = found
    // A key that is a path tells the one picture that it means.
    const others = picture === key ? [] : rest
    const latents = await this.#findLatents(key, inFolder, outside)
    return { picture, latents, others, outside: outside[0] }
  }

  async #findLatents(key: string, inFolder: string | undefined, outside: string[]): Promise<LatentFiles | undefined> {
    const bases = [key.slice(0, key.length - extname(key).length), ...(inFolder === undefined ? [] : [inFolder])]
    for (const base of bases) {
      const file = latentFileName(base, false)
      if (!(await this.#accepts(file, outside))) continue
      const flippedFile = latentFileName(base, true)
      return (await this.#index.has(flippedFile)) ? { file, flippedFile } : { file }
    }
    return undefined
  }

  #inFolder(key: string): string | undefined {
    const folder = this.#imageDir
    if (folder === undefined || isAbsolute(key)) return folder && key
    return /[\\/]$/.test(folder) ? folder + key : `${folder}/${key}`
  }

  async #accepts(path: string, outside: string[]): Promise<boolean> {
    if (!(await this.#index.has(path))) return false
    if (this.#root === undefined || isInside(this.#root, path)) return true
    outside.push(path)
    return false
  }
}

function isInside(root: string, path: string): boolean {
  const way = relative(root, resolve(path))
  return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)
}
