import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { systemErrorCode, toIoError } from '../io/systemError.ts'
import { ArgumentError } from '../util/errors.ts'

/** Environment variables; `process.env` fits. */
export type Environment = Readonly<Record<string, string | undefined>>

/**
 * The folder that holds one folder for each repository, where Python's huggingface_hub has it too: `HF_HUB_CACHE`,
 * `HUGGINGFACE_HUB_CACHE`, `HF_HOME/hub`, `XDG_CACHE_HOME/huggingface/hub`, `~/.cache/huggingface/hub`, the first that is set.
 */
export function hubCacheFolder(environment: Environment = process.env): string {
  const folder = environment.HF_HUB_CACHE || environment.HUGGINGFACE_HUB_CACHE
  return folder ? expand(folder) : join(hubHome(environment), 'hub')
}

/** Whether `HF_HUB_OFFLINE` (or `TRANSFORMERS_OFFLINE`) forbids the network: `1`, `on`, `yes` or `true`. */
export function hubOffline(environment: Environment = process.env): boolean {
  return /^(1|on|yes|true)$/i.test(environment.HF_HUB_OFFLINE || environment.TRANSFORMERS_OFFLINE || '')
}

/**
 * The hub's address without a slash at its end: the argument, `HF_ENDPOINT`, or https://huggingface.co.
 * @throws ArgumentError when it is no http(s) address, or holds a password
 */
export function hubEndpoint(endpoint: string | undefined, environment: Environment = process.env): string {
  const text = endpoint ?? (environment.HF_ENDPOINT || 'https://huggingface.co')
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '' || url.search !== '')
    throw new ArgumentError(
      'hub',
      endpoint === undefined ? 'HF_ENDPOINT' : 'endpoint',
      'an address such as https://huggingface.co, without a password',
      url ? `one of ${url.protocol}//${url.host}` : JSON.stringify(text),
    )
  return text.replace(/\/+$/, '')
}

/**
 * The access token: the argument, `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`, or the file `HF_TOKEN_PATH` (default `token` beside the
 * cache, where the Python tools write it); undefined when there is none.
 * @throws ArgumentError when it cannot be a token (its text is not shown); IoError when the file cannot be read
 */
export async function hubToken(
  token: string | undefined,
  environment: Environment = process.env,
): Promise<string | undefined> {
  const given = token ?? (environment.HF_TOKEN || environment.HUGGING_FACE_HUB_TOKEN)
  const path = expand(environment.HF_TOKEN_PATH || join(hubHome(environment), 'token'))
  const text = (given ?? (await readTokenFile(path)) ?? '').trim()
  if (text === '') return undefined
  if (!/^[\x21-\x7e]{1,4096}$/.test(text)) {
    const place = token !== undefined ? 'token' : given !== undefined ? 'HF_TOKEN' : path
    throw new ArgumentError('hub', place, 'one word of ASCII characters', `${text.length} characters`)
  }
  return text
}

async function readTokenFile(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw toIoError(path, 'read the access token', error)
  }
}

function hubHome(environment: Environment): string {
  if (environment.HF_HOME) return expand(environment.HF_HOME)
  return join(expand(environment.XDG_CACHE_HOME || join(homedir(), '.cache')), 'huggingface')
}

function expand(path: string): string {
  return resolve(/^~($|[\\/])/.test(path) ? join(homedir(), path.slice(1)) : path)
}
