import { type JsonValue, pythonJson } from '../util/pythonJson.ts'

/** Width and height in pixels. */
export type MetadataSize = readonly [width: number, height: number]

/**
 * What a metadata file says about one picture: a map of all its fields, in the order of the file, with what it says about the
 * known ones. A field that is `null` in the file is as good as absent.
 */
export class MetadataEntry extends Map<string, JsonValue> {
  /** Text; lines are separated by `\n`. */
  get caption(): string | undefined {
    return this.#text('caption')
  }

  /** Tags separated by commas. */
  get tags(): string | undefined {
    return this.#text('tags')
  }

  /** The bucket that the picture was prepared for. */
  get trainResolution(): MetadataSize | undefined {
    return this.#size('train_resolution')
  }

  /** The picture's own size. */
  get imageSize(): MetadataSize | undefined {
    return this.#size('image_size')
  }

  #text(name: string): string | undefined {
    const value = this.get(name)
    return typeof value === 'string' ? value : undefined
  }

  #size(name: string): MetadataSize | undefined {
    const value = this.get(name)
    return isSize(value) ? value : undefined
  }
}

const knownFields: readonly { readonly name: string; readonly expected: string; fits(value: JsonValue): boolean }[] = [
  { name: 'caption', expected: 'a text', fits: (value) => typeof value === 'string' },
  { name: 'tags', expected: 'a text of tags separated by commas', fits: (value) => typeof value === 'string' },
  { name: 'train_resolution', expected: 'a list of width and height, two positive whole numbers', fits: isSize },
  { name: 'image_size', expected: 'a list of width and height, two positive whole numbers', fits: isSize },
]

/** What is wrong with the known fields of an entry, as messages. */
export function problemsOf(key: string, entry: MetadataEntry): string[] {
  const problems: string[] = []
  for (const { name, expected, fits } of knownFields) {
    const value = entry.get(name)
    if (value === undefined || value === null || fits(value)) continue
    problems.push(`${JSON.stringify(key)}: ${name} must be ${expected}, found ${describeValue(value)}`)
  }
  return problems
}

/** A value for a message, cut to a readable length. */
export function describeValue(value: JsonValue): string {
  const text = pythonJson(value)
  return text.length > 120 ? `${text.slice(0, 120)}...` : text
}

function isSize(value: JsonValue | undefined): value is MetadataSize {
  return Array.isArray(value) && value.length === 2 && value.every((side) => Number.isSafeInteger(side) && side > 0)
}
