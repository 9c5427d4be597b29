import { setImmediate } from 'node:timers/promises'
import { type CleaningRules, readCleaningRules } from './cleaningRules.ts'
import { cleanCaption, cleanTags } from './cleanTexts.ts'
import { readMetadata } from './readMetadata.ts'
import { writeMetadata } from './writeMetadata.ts'

export interface CleanMetadataOptions {
  /** Default: the default rules (`assets/cleaningRules.toml`). */
  readonly rules?: CleaningRules
  /** Called for each text that was changed. */
  readonly onChange?: (key: string, before: string, after: string) => void
  /** Called for what is worth knowing about an entry: a missing field, more than one rating. */
  readonly onNote?: (message: string) => void
}

export interface CleanReport {
  readonly entries: number
  /** Texts that were changed. */
  readonly changed: number
  /** Oddities of the file that was read. */
  readonly warnings: readonly string[]
}

/** Milliseconds of work between two turns of the event loop. */
const TURN_MS = 10

/**
 * Cleans the captions and tags of a metadata file into another file, or in place. Everything else is kept.
 *
 * @throws IoError, DataError as `readMetadata` and `writeMetadata`; ConfigError for a rule without end. Nothing is written then
 */
export async function cleanMetadata(
  inJson: string,
  outJson: string,
  options: CleanMetadataOptions = {},
): Promise<CleanReport> {
  const { rules = await readCleaningRules(), onChange, onNote } = options
  const { entries, warnings } = await readMetadata(inJson)
  let changed = 0
  let turnStart = performance.now()
  for (const [key, entry] of entries) {
    const { tags, caption } = entry
    const note = (before: string, after: string): string => {
      if (before !== after) {
        changed++
        onChange?.(key, before, after)
      }
      return after
    }
    if (tags === undefined) onNote?.(`no tags: ${key}`)
    else {
      const { text, ratingCount } = cleanTags(tags, rules)
      if (ratingCount > 1) onNote?.(`${ratingCount} ratings, of which the first cuts the rest off: ${key}: ${tags}`)
      entry.set('tags', note(tags, text))
    }
    if (caption === undefined) onNote?.(`no caption: ${key}`)
    else entry.set('caption', note(caption, cleanCaption(caption, rules)))
    if (performance.now() - turnStart < TURN_MS) continue
    await setImmediate()
    turnStart = performance.now()
  }
  await writeMetadata(outJson, entries)
  return { entries: entries.size, changed, warnings }
}
