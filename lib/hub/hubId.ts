import { ArgumentError } from '../util/errors.ts'

/** The kinds of repository that a hub has. */
export const hubRepositoryTypes = ['model', 'dataset', 'space'] as const
export type HubRepositoryType = (typeof hubRepositoryTypes)[number]

/** A repository at one revision. */
export interface HubPlace {
  /** `org/name`. */
  readonly repository: string
  readonly type: HubRepositoryType
  /** Branch, tag, `refs/pr/1` or commit. */
  readonly revision: string
}

/** What a hub id names: a model, or one of its files. */
export interface HubId extends Omit<HubPlace, 'type'> {
  /** One file of the repository, with `/`; undefined for the repository's model. */
  readonly file: string | undefined
}

const repositoryPart = /^[\w.-]{1,96}$/
/** The kinds of file that a path after `org/name/` may name. */
const weightFile = /\.(safetensors|ckpt|pt|bin)$/i
const commit = /^[0-9a-f]{40}$/

/** Whether a revision is a full commit hash: its files never change. */
export function isCommit(revision: string): boolean {
  return commit.test(revision)
}

/**
 * Whether a text has the form of a hub id: `org/name`, `org/name/path/to/file.safetensors`, either with `@revision`.
 * A relative path of two parts has it too: ask the file system first.
 */
export function isHubId(text: string): boolean {
  return problemOf(text, undefined) === undefined
}

/**
 * Takes a hub id apart.
 * @param revision wins over the default `main`; must not contradict an `@revision` of the id
 * @throws ArgumentError for anything else, also where a part could leave the cache folder
 */
export function parseHubId(text: string, revision?: string | undefined): HubId {
  const problem = problemOf(text, revision)
  if (problem !== undefined) throw new ArgumentError('resolveHubModel', ...problem)
  const { repository, file, suffix } = split(text)
  return { repository, file, revision: revision ?? suffix ?? 'main' }
}

/**
 * Takes apart what names a folder of a repository: `org/name/path/to/folder`, then `:revision`, then `:type`. Without a path it is the
 * repository's root, without a revision `main`, without a type a model's repository.
 *
 * @throws ArgumentError for anything else, also where a part could leave the cache folder
 */
export function parseHubFolder(text: string): HubPlace & { readonly path: string } {
  const [id = '', revision = 'main', type = 'model', ...more] = text.split(':')
  const parts = id.replace(/\/+$/, '').split('/')
  const repository = parts.slice(0, 2).join('/')
  const path = parts.slice(2).join('/')
  const kind = hubRepositoryTypes.find((each) => each === type)
  const right = isRepositoryName(repository) && (path === '' || isSafePath(path)) && isRevision(revision)
  if (right && kind !== undefined && more.length === 0) return { repository, type: kind, revision, path }
  const expected = `org/name/folder, perhaps with :revision, or with :revision:type, one of ${hubRepositoryTypes.join(', ')}`
  throw new ArgumentError('hub', 'folder', expected, JSON.stringify(text))
}

/** Whether a text has the form `org/name`. */
export function isRepositoryName(text: string): boolean {
  const parts = text.split('/')
  // "--" stands for the slash in the cache's folder names, so the hub allows it in no name.
  return parts.length === 2 && parts.every((part) => repositoryPart.test(part) && !/^[.-]|[.-]$|\.\.|--/.test(part))
}

/** Where a repository stands below the hub's address: `org/name`, `datasets/org/name`. */
export function webPath({ repository, type }: Omit<HubPlace, 'revision'>): string {
  return type === 'model' ? repository : `${type}s/${repository}`
}

/**
 * Whether a relative path of the hub may become one below the cache: no way up, nothing absolute, nothing that Windows or a
 * terminal reads in another way.
 */
export function isSafePath(path: string): boolean {
  if (path.length === 0 || path.length > 1024 || /[\\:*?"<>|\p{Cc}\p{Cf}]/u.test(path)) return false
  return path.split('/').every((part) => part !== '' && !/^\.\.?$/.test(part) && !/[. ]$/.test(part))
}

/** Whether a path tries to leave its folder or to deceive who reads it: nothing that has such a file is trusted. */
export function isHostilePath(path: string): boolean {
  return /[\\\p{Cc}]|^\/|^[A-Za-z]:|(^|\/)\.\.?(\/|$)/u.test(path)
}

function split(text: string): { repository: string; file: string | undefined; suffix: string | undefined } {
  const at = text.indexOf('@')
  const parts = (at < 0 ? text : text.slice(0, at)).split('/')
  return {
    repository: parts.slice(0, 2).join('/'),
    file: parts.length > 2 ? parts.slice(2).join('/') : undefined,
    suffix: at < 0 ? undefined : text.slice(at + 1),
  }
}

function isRevision(text: string): boolean {
  return isSafePath(text) && /^[\w./+-]+$/.test(text) && !text.includes('..')
}

type Problem = [argument: string, expected: string, received: string]

function problemOf(text: string, revision: string | undefined): Problem | undefined {
  const { repository, file, suffix } = split(text)
  if (!isRepositoryName(repository)) return ['id', 'org/name, or org/name/file.safetensors', JSON.stringify(text)]
  if (file !== undefined && !(isSafePath(file) && weightFile.test(file)))
    return ['id', 'org/name, or org/name/ and a file ending in .safetensors, .ckpt, .pt or .bin', JSON.stringify(text)]
  for (const value of [revision, suffix])
    if (value !== undefined && !isRevision(value))
      return ['revision', 'a branch, a tag or a commit', JSON.stringify(value)]
  if (revision !== undefined && suffix !== undefined && revision !== suffix)
    return ['revision', `${JSON.stringify(suffix)}, as after the @ of the id`, JSON.stringify(revision)]
  return undefined
}
