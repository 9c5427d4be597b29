/** Functions and classes of the user's own, named on the command line as `./file.js#ExportName`. */
import { stat } from 'node:fs/promises'
import { isAbsolute, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ConfigError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'

/** Whether a text is meant as a file with an export, rightly written or not. */
export function namesLocalExport(text: string): boolean {
  return text.includes('#') || /^(\.{1,2}[\\/]|[\\/]|file:)/.test(text) || /\.[cm]?[jt]s$/.test(text)
}

/**
 * Loads one export of a file on this machine; the file's code runs. Paths are relative to the working folder. Packages and
 * addresses are refused, so that a configuration cannot bring code that is not there already.
 *
 * @param option in messages: `--optimizer_type`
 * @throws ConfigError when the text is no such name, the file is missing or fails, or the export is no function or class
 */
export async function loadLocalExport(
  option: string,
  text: string,
): Promise<(new (...parameters: never) => unknown) & ((...parameters: never) => unknown)> {
  const [path = '', name = '', ...more] = text.split('#')
  if (path === '' || name === '' || more.length > 0)
    throw new ConfigError(
      `${option} must name a file and an export of it, ./file.js#Name, found ${JSON.stringify(text)}`,
    )
  if (!/^\.{1,2}[\\/]/.test(path) && !isAbsolute(path))
    throw new ConfigError(
      `${option} loads code only from a file given by its path, ./file.js#Name; ${JSON.stringify(path)} is none`,
    )
  const file = resolve(path)
  const isFile = await stat(file).then(
    (facts) => facts.isFile(),
    () => false,
  )
  if (!isFile) throw new ConfigError(`${option}: there is no file ${file}; the path is relative to the working folder`)
  const exports = await importFile(option, file)
  const value = exports[name]
  if (value === undefined) {
    const names = Object.keys(exports).sort()
    const list = names.length === 0 ? 'nothing' : names.join(', ')
    throw new ConfigError(`${option}: ${file} exports ${list}, not "${name}".${didYouMean(name, names)}`)
  }
  if (typeof value !== 'function')
    throw new ConfigError(`${option}: "${name}" of ${file} must be a function or a class, found ${typeof value}`)
  return value as Awaited<ReturnType<typeof loadLocalExport>>
}

async function importFile(option: string, file: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await import(/* @vite-ignore */ pathToFileURL(file).href)) as Readonly<Record<string, unknown>>
  } catch (error) {
    throw new ConfigError(`${option}: ${file} cannot be loaded: ${String(error)}`, {}, { cause: error })
  }
}
