import { atomicWrite } from '../io/atomicWrite.ts'
import { type JsonValue, pythonJson, pythonJsonString } from '../util/pythonJson.ts'

/** Written at a time: a few milliseconds of work between two turns of the event loop. */
const PIECE_CHARACTERS = 1 << 18

/**
 * Writes a metadata file as Python's `json.dump(metadata, file, indent=2)` does: entries and fields in the order of the maps,
 * other than printable ASCII as `\uXXXX`, no newline at the end. The name holds the previous file or the whole new one, so a
 * file can be read, changed and written in place. What is named `.jsonl` has a line for each entry, with the key as its `image_path`.
 *
 * @returns the number of bytes written
 * @throws IoError when the operating system refuses
 */
export async function writeMetadata(
  path: string,
  entries: ReadonlyMap<string, ReadonlyMap<string, JsonValue>>,
): Promise<number> {
  return atomicWrite(path, path.toLowerCase().endsWith('.jsonl') ? linesOf(entries) : piecesOf(entries))
}

function* piecesOf(entries: ReadonlyMap<string, ReadonlyMap<string, JsonValue>>): Generator<Uint8Array> {
  let text = '{'
  let separator = '\n  '
  for (const [key, entry] of entries) {
    text += `${separator}${pythonJsonString(key)}: ${pythonJson(entry, { indent: 2, level: 1 })}`
    separator = ',\n  '
    if (text.length < PIECE_CHARACTERS) continue
    yield Buffer.from(text, 'latin1')
    text = ''
  }
  yield Buffer.from(`${text}${entries.size > 0 ? '\n' : ''}}`, 'latin1')
}

function* linesOf(entries: ReadonlyMap<string, ReadonlyMap<string, JsonValue>>): Generator<Uint8Array> {
  let text = ''
  for (const [key, entry] of entries) {
    text += `${pythonJson(new Map<string, JsonValue>([['image_path', key], ...entry]))}\n`
    if (text.length < PIECE_CHARACTERS) continue
    yield Buffer.from(text, 'latin1')
    text = ''
  }
  yield Buffer.from(text, 'latin1')
}
