import { openTensorFile } from '../io/openTensorFile.ts'
import { CheckpointError, exitCodes } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { printable } from './format.ts'
import type { CliHost } from './host.ts'

/** `noisewright metadata`: the texts of a file, or one of them as it is. @returns the exit code */
export async function metadataCommand(
  path: string,
  { key, json = false }: { readonly key?: string | undefined; readonly json?: boolean },
  host: CliHost,
): Promise<number> {
  const file = await openTensorFile(path)
  await file.close()
  const { metadata } = file
  if (key !== undefined) {
    const value = metadata.get(key)
    if (value === undefined) {
      const hint = didYouMean(key, metadata.keys())
      throw new CheckpointError(path, `expected metadata "${key}", found none among ${metadata.size} texts.${hint}`)
    }
    host.stdout.write(`${json ? JSON.stringify(value) : value}\n`)
    return exitCodes.ok
  }
  const texts = [...metadata].sort(([a], [b]) => (a < b ? -1 : 1))
  if (json) host.stdout.write(`${JSON.stringify(Object.fromEntries(texts), null, 2)}\n`)
  else for (const [name, text] of texts) host.stdout.write(`${printable(name)}: ${printable(text)}\n`)
  if (texts.length === 0) host.stderr.write(`note: ${path} has no metadata\n`)
  return exitCodes.ok
}
