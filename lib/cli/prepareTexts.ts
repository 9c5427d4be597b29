/** The commands for captions and tags in metadata files. */
import { stat } from 'node:fs/promises'
import { readCleaningRules } from '../metadata/cleaningRules.ts'
import { cleanMetadata } from '../metadata/cleanMetadata.ts'
import { mergeTexts } from '../prepare/mergeTexts.ts'
import { ConfigError, exitCodes } from '../util/errors.ts'
import { formatCount, printable } from './format.ts'
import type { CliHost } from './host.ts'

/** Options by their names on the command line. */
export interface MergeTextsCommandOptions {
  readonly in_json?: string
  readonly full_path?: true
  readonly recursive?: true
  readonly caption_extension?: string
  readonly caption_extention?: string
  readonly debug?: true
}

/** `noisewright merge-captions-to-metadata` and `merge-dd-tags-to-metadata`. @returns the exit code */
export async function mergeTextsCommand(
  field: 'caption' | 'tags',
  folder: string,
  outJson: string,
  options: MergeTextsCommandOptions,
  host: CliHost,
): Promise<number> {
  const { images, entries, read, warnings } = await mergeTexts(field, folder, outJson, {
    inJson: options.in_json,
    fullPath: options.full_path === true,
    recursive: options.recursive === true,
    extension: options.caption_extention ?? options.caption_extension,
    ...(options.debug && { onText: (key, text) => host.stdout.write(`${printable(key)}: ${printable(text)}\n`) }),
  })
  for (const warning of warnings) host.stderr.write(`warning: ${warning}\n`)
  host.stdout.write(
    `found ${formatCount(images, 'picture')} in ${folder}; ${read === undefined ? 'new metadata' : `added to ${read}`}\n`,
  )
  host.stdout.write(`wrote ${outJson}: ${entriesInWords(entries)}\n`)
  return exitCodes.ok
}

/**
 * `noisewright clean-captions-and-tags`.
 *
 * @param paths the metadata to read and to write; before them a folder, which an older form of the command had
 * @returns the exit code, ok also when there is no metadata to read
 * @throws ConfigError for another number of paths
 */
export async function cleanTextsCommand(
  paths: readonly string[],
  options: { readonly rules?: string; readonly debug?: true },
  host: CliHost,
): Promise<number> {
  if (paths.length < 2 || paths.length > 3)
    throw new ConfigError(`expected two paths, in_json and out_json, found ${paths.length}: ${paths.join(' ')}`)
  const [inJson, outJson] = paths.slice(-2) as [string, string]
  if (paths.length === 3)
    host.stderr.write(`warning: ${paths[0]} is ignored: all captions and tags of ${inJson} are cleaned\n`)
  const rules = await readCleaningRules(options.rules)
  if (!(await exists(inJson))) {
    host.stderr.write(`warning: there is no metadata file ${inJson}; nothing was written\n`)
    return exitCodes.ok
  }
  const { entries, changed, warnings } = await cleanMetadata(inJson, outJson, {
    rules,
    onNote: (note) => host.stderr.write(`note: ${printable(note)}\n`),
    ...(options.debug && {
      onChange: (_key, before, after) => host.stdout.write(`FROM: ${printable(before)}\nTO:   ${printable(after)}\n`),
    }),
  })
  for (const warning of warnings) host.stderr.write(`warning: ${warning}\n`)
  host.stdout.write(`wrote ${outJson}: ${entriesInWords(entries)}, ${formatCount(changed, 'text')} changed\n`)
  return exitCodes.ok
}

function entriesInWords(count: number): string {
  return count === 1 ? '1 entry' : `${count.toLocaleString('en-US')} entries`
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
