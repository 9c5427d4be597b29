import { CheckpointError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { parseHubFolder, webPath } from './hubId.ts'
import { type HubDownloadOptions, type HubSnapshot, resolveSnapshot, type Selection } from './hubSnapshot.ts'

/**
 * Finds a folder of a repository, such as a saved state: downloads all its files into the cache, or finds them there, as
 * `resolveHubModel` does.
 *
 * @param id `org/name/path/to/folder[:revision[:type]]`; the revision is `main` when not given, the type `model`, `dataset` or `space`
 * @returns `path` is the folder
 * @throws ArgumentError for an id of a wrong form; CheckpointError when the repository has no such folder or a downloaded file has a
 *   wrong hash; HubError, IoError and what `signal` was aborted with as `resolveHubModel`
 */
export async function resolveHubFolder(id: string, options: HubDownloadOptions = {}): Promise<HubSnapshot> {
  const { path, ...place } = parseHubFolder(id)
  const selection: Selection = {
    choose: async (paths) => {
      const files = path === '' ? [...paths] : [...paths].filter((each) => each.startsWith(`${path}/`))
      if (files.length > 0) return { files, main: path, missing: [] }
      const text = `the repository has no folder ${path}.${didYouMean(path, foldersOf(paths))}`
      throw new CheckpointError(`${webPath(place)}@${place.revision}`, text)
    },
    // What is here need not be all.
    lackOf: () => "a list of the repository's files",
  }
  return resolveSnapshot(place, selection, options)
}

function foldersOf(paths: ReadonlySet<string>): Set<string> {
  const folders = [...paths].flatMap((path) => {
    const parts = path.split('/').slice(0, -1)
    return parts.map((_, at) => parts.slice(0, at + 1).join('/'))
  })
  return new Set(folders)
}
