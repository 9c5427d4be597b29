import { parseHubId } from './hubId.ts'
import { type HubDownloadOptions, type HubSnapshot, resolveSnapshot, type Selection } from './hubSnapshot.ts'
import { type HubModelKind, modelFiles } from './modelFiles.ts'

export interface ResolveHubModelOptions extends HubDownloadOptions {
  /** Branch, tag, `refs/pr/1` or commit. Default: what follows `@` in the id, else `main`. */
  readonly revision?: string | undefined
  /** Default `'model'`; `'vae'` takes config.json and weights of the root or of `vae/`. */
  readonly kind?: HubModelKind | undefined
  /** Prefer weights with this suffix, such as `fp16`. Default: the ones without. */
  readonly variant?: string | undefined
}

/**
 * Finds a Stable Diffusion model, or a VAE, by its hub id: downloads the files a loader needs into the cache that Python's huggingface_hub
 * uses too, or finds them there. With the network one small request tells whether a branch has moved; without it, or for a commit that is
 * cached whole, nothing is asked.
 *
 * @param id `org/name` or `org/name/path/to/file.safetensors`, either with `@revision`
 * @returns `path` is what a loader takes: the folder of a diffusers model or VAE, or a checkpoint file
 * @throws ArgumentError for an id, revision, address or token of a wrong form; HubError when the hub refuses or cannot be reached and
 *   the cache is not complete; CheckpointError when the repository holds no such model or a downloaded file has a wrong hash; IoError when
 *   the disk is full or refuses; what `signal` was aborted with
 */
export async function resolveHubModel(id: string, options: ResolveHubModelOptions = {}): Promise<HubSnapshot> {
  const { repository, revision, file } = parseHubId(id, options.revision)
  const { kind = 'model', variant } = options
  const selection: Selection = {
    choose: (paths, readText) => modelFiles(paths, { id: `${repository}@${revision}`, kind, variant, file, readText }),
    // The only checkpoint of a snapshot need not be the only one of its repository.
    lackOf: ({ files, main }) =>
      file !== undefined || !files.includes(main) ? undefined : `a list of the files; name one: ${main}`,
  }
  return resolveSnapshot({ repository, revision, type: 'model' }, selection, options)
}
