import { CheckpointError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'

/** A whole Stable Diffusion model (`--pretrained_model_name_or_path`) or a VAE alone (`--vae`). */
export type HubModelKind = 'model' | 'vae'

export interface ModelFilesOptions {
  /** To begin messages with: `org/name@main`. */
  readonly id: string
  readonly kind: HubModelKind
  /** The one file to take, if the id names one. */
  readonly file?: string | undefined
  /** Take weights named `model.<variant>.safetensors` where there are some: `fp16`. */
  readonly variant?: string | undefined
  /** The text of one small file of the repository. */
  readonly readText: (path: string) => Promise<string>
}

export interface ModelFiles {
  /** What a loader needs, paths with `/`. The file that says what the repository is comes last. */
  readonly files: readonly string[]
  /** What a loader is given, from the repository's root: a folder (`''`, `'vae'`) or a checkpoint file. */
  readonly main: string
  /** What should be there and is not. */
  readonly missing: readonly string[]
}

/** Names of a part's weights, best first; diffusers saves the first, older repositories hold the second only. */
const weightNames = {
  unet: ['diffusion_pytorch_model.safetensors', 'diffusion_pytorch_model.bin'],
  vae: ['diffusion_pytorch_model.safetensors', 'diffusion_pytorch_model.bin'],
  text_encoder: ['model.safetensors', 'pytorch_model.bin'],
} as const

/** Parts that Stable Diffusion 1.x and 2.x do not have. */
const foreignParts = ['text_encoder_2', 'transformer', 'prior', 'image_encoder_2', 'movq', 'tokenizer_2']

/**
 * Chooses the files of a repository that a model or a VAE is loaded from: of a diffusers repository the configuration and one set of
 * weights for each part (safetensors before .bin, the main variant unless another is asked for, shards by their index), of any other the
 * one checkpoint at its root. Safety checkers, feature extractors, ONNX, Flax and OpenVINO files are never among them.
 *
 * @param paths every file the repository (or the cached snapshot) has
 * @throws CheckpointError when the repository holds something else, several checkpoints, or not the file that was named
 */
export async function modelFiles(paths: ReadonlySet<string>, options: ModelFilesOptions): Promise<ModelFiles> {
  const { id, kind, file } = options
  if (file !== undefined) {
    if (paths.has(file)) return { files: [file], main: file, missing: [] }
    throw new CheckpointError(id, `the repository has no file ${file}.${didYouMean(file, paths)}`)
  }
  const choice = new Choice(paths, options)
  if (kind === 'vae') {
    const folder = ['', 'vae/'].find((place) => paths.has(`${place}config.json`) && choice.hasWeights(place, 'vae'))
    if (folder !== undefined) {
      await choice.addPart(folder, 'vae')
      return choice.result(folder.slice(0, -1))
    }
  } else if (paths.has('model_index.json')) {
    await choice.expectStableDiffusion()
    choice.addMatching(/^tokenizer\/[^/]+\.(json|txt)$/)
    choice.addMatching(/^scheduler\/[^/]+\.json$/)
    if (!paths.has('scheduler/scheduler_config.json')) choice.missing.push('scheduler/scheduler_config.json')
    for (const part of ['text_encoder', 'vae', 'unet'] as const) await choice.addPart(`${part}/`, part)
    choice.files.push('model_index.json')
    return choice.result('')
  }
  const checkpoint = onlyCheckpoint(paths, options)
  return { files: [checkpoint], main: checkpoint, missing: [] }
}

class Choice {
  readonly files: string[] = []
  readonly missing: string[] = []

  constructor(
    readonly paths: ReadonlySet<string>,
    readonly options: ModelFilesOptions,
  ) {}

  addMatching(pattern: RegExp): void {
    this.files.push(...[...this.paths].filter((path) => pattern.test(path)).sort())
  }

  result(main: string): ModelFiles {
    return { files: this.files, main, missing: this.missing }
  }

  hasWeights(folder: string, part: keyof typeof weightNames): boolean {
    return this.#weights(folder, part) !== undefined
  }

  /** Refuses other families before gigabytes of them are downloaded. */
  async expectStableDiffusion(): Promise<void> {
    const { id } = this.options
    const index = await this.#json('model_index.json')
    const foreign = foreignParts.filter((part) => index[part] !== undefined)
    const name = typeof index._class_name === 'string' ? index._class_name : 'a model'
    if (foreign.length > 0)
      throw new CheckpointError(
        id,
        `expected Stable Diffusion 1.x or 2.x, found ${JSON.stringify(name)} with ${foreign.join(', ')}`,
      )
  }

  /** Adds weights and configuration of one part; `folder` ends with a slash or is empty. The configuration comes last. */
  async addPart(folder: string, part: keyof typeof weightNames): Promise<void> {
    const weights = this.#weights(folder, part)
    if (weights === undefined) this.missing.push(`${folder}${weightNames[part][0]}${this.#otherVariants(folder, part)}`)
    else if (/\.index\.[\w.]*json$/.test(weights)) await this.#addShards(folder, weights)
    else this.files.push(weights)
    const config = `${folder}config.json`
    if (this.paths.has(config)) this.files.push(config)
    else this.missing.push(config)
  }

  /** The best weights file, or index of weights files, that a part has. */
  #weights(folder: string, part: keyof typeof weightNames): string | undefined {
    const { variant } = this.options
    const names = weightNames[part]
    const candidates = names.flatMap((name) => [name, `${name}.index.json`])
    const special = variant === undefined ? [] : names.flatMap((name) => variantNames(name, variant))
    return [...special, ...candidates].map((name) => folder + name).find((path) => this.paths.has(path))
  }

  #otherVariants(folder: string, part: keyof typeof weightNames): string {
    const found = new Set<string>()
    for (const name of weightNames[part]) {
      const [stem, extension] = splitName(name)
      for (const path of this.paths)
        if (
          path.startsWith(`${folder}${stem}.`) &&
          path.endsWith(extension) &&
          !path.slice(folder.length).includes('/')
        )
          found.add(path.slice(folder.length + stem.length + 1, -extension.length))
    }
    found.delete('')
    return found.size === 0 ? '' : ` (there is only the variant ${[...found].sort().join(', ')}; ask for it by name)`
  }

  async #addShards(folder: string, index: string): Promise<void> {
    const { weight_map: map } = await this.#json(index)
    const names = typeof map === 'object' && map !== null ? new Set(Object.values(map)) : new Set()
    if (names.size === 0)
      throw new CheckpointError(`${this.options.id}: ${index}`, 'has no "weight_map" with file names')
    for (const name of names) {
      // A shard lies beside its index: anything else is no diffusers repository.
      if (typeof name !== 'string' || !/^[\w.-]+\.(safetensors|bin)$/.test(name))
        throw new CheckpointError(
          `${this.options.id}: ${index}`,
          `names ${JSON.stringify(name)}, expected a file beside it`,
        )
      if (this.paths.has(folder + name)) this.files.push(folder + name)
      else this.missing.push(folder + name)
    }
    this.files.push(index)
  }

  async #json(path: string): Promise<Readonly<Record<string, unknown>>> {
    const place = `${this.options.id}: ${path}`
    const text = await this.options.readText(path)
    try {
      const value: unknown = JSON.parse(text)
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
    } catch (error) {
      throw new CheckpointError(place, `expected a JSON object (${(error as Error).message})`, { cause: error })
    }
    throw new CheckpointError(place, `expected a JSON object, found ${text.slice(0, 40)}`)
  }
}

/** `model.safetensors` to `model.fp16.safetensors`, and the two spellings of its index. */
function variantNames(name: string, variant: string): string[] {
  const [stem, extension] = splitName(name)
  const special = `${stem}.${variant}${extension}`
  return [special, `${name}.index.${variant}.json`, `${special}.index.json`]
}

function splitName(name: string): [stem: string, extension: string] {
  const dot = name.lastIndexOf('.')
  return [name.slice(0, dot), name.slice(dot)]
}

function onlyCheckpoint(paths: ReadonlySet<string>, { id, kind }: ModelFilesOptions): string {
  const roots = [...paths].filter((path) => /^[^/]+\.(safetensors|ckpt)$/i.test(path)).sort()
  // The same name with both extensions is one model; the safer form is taken.
  const choices = roots.filter(
    (path) => !/\.ckpt$/i.test(path) || !roots.includes(path.replace(/\.ckpt$/i, '.safetensors')),
  )
  const whole = choices.filter(
    (path) => kind === 'vae' || !/^(diffusion_pytorch_model|pytorch_lora_weights)\./.test(path),
  )
  if (whole.length === 1) return whole[0]!
  if (whole.length > 1)
    throw new CheckpointError(
      id,
      `has no ${kind === 'vae' ? 'config.json' : 'model_index.json'} and several checkpoints: ${whole.join(', ')}. Name one: ` +
        `${id.replace(/@.*/s, '')}/${whole[0]}`,
    )
  if (choices.length > 0 && paths.has('config.json'))
    throw new CheckpointError(id, 'holds one part of a model, such as a VAE (--vae), not a whole model')
  const expected =
    kind === 'vae'
      ? 'config.json with diffusion_pytorch_model.safetensors (or .bin), at the root or in vae/, or one checkpoint at the root'
      : 'model_index.json, or one .safetensors or .ckpt file at the root'
  throw new CheckpointError(id, `expected ${expected}, found ${describe(paths)}`)
}

function describe(paths: ReadonlySet<string>): string {
  const names = [...new Set([...paths].map((path) => path.replace(/\/.*/s, '/')))].sort()
  if (names.length === 0) return 'no files'
  return names.length > 12 ? `${names.slice(0, 12).join(', ')} and ${names.length - 12} more` : names.join(', ')
}
