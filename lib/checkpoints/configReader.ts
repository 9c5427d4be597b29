import { describeJson, type JsonObject, readJsonObject } from '../io/jsonFile.ts'
import { CheckpointError } from '../util/errors.ts'

/** What a setting may be: the value that is computed here, and others that mean the same. */
export interface FixedSetting {
  readonly allowed: readonly unknown[]
  /** What other values mean, for the error message: `'Stable Diffusion XL has it'`. */
  readonly meaning?: string
}

/** Settings whose value is built into the code: files may name it or leave the key out, which stands for it too. */
export type FixedSettings = Readonly<Record<string, FixedSetting>>

/** Typed access to the values of one configuration file; every refusal names file, key and value. */
export class ConfigReader {
  constructor(
    readonly path: string,
    readonly values: JsonObject,
  ) {}

  /** @throws IoError or CheckpointError as {@link readJsonObject} */
  static async open(path: string): Promise<ConfigReader> {
    return new ConfigReader(path, await readJsonObject(path))
  }

  /** A missing or null value is the fallback. */
  number(key: string, fallback?: number): number {
    const value = this.values.get(key) ?? fallback
    if (typeof value !== 'number') throw this.refuse(key, 'a number')
    return value
  }

  /** A whole number from 1 to `most`: sizes are multiplied and looped over, so a hostile one must not get further. */
  count(key: string, most: number, fallback?: number): number {
    const value = this.values.get(key) ?? fallback
    if (!isCount(value, most)) throw this.refuse(key, `a whole number from 1 to ${most}`)
    return value
  }

  /** A list of 1 to `length` whole numbers from 1 to `most`. */
  counts(key: string, length: number, most: number): number[] {
    const value = this.values.get(key)
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'number'))
      throw this.refuse(key, 'a list of numbers')
    if (value.length < 1 || value.length > length || !value.every((item) => isCount(item, most)))
      throw this.refuse(key, `a list of 1 to ${length} whole numbers from 1 to ${most}`)
    return value
  }

  /** A missing or null value is the fallback. */
  boolean(key: string, fallback: boolean): boolean {
    const value = this.values.get(key) ?? fallback
    if (typeof value !== 'boolean') throw this.refuse(key, 'true or false')
    return value
  }

  /** A missing or null value is the fallback. */
  oneOf<Value extends string>(key: string, values: readonly Value[], fallback: Value): Value {
    const value = this.values.get(key) ?? fallback
    if (!values.includes(value as Value)) throw this.refuse(key, values.join(' or '))
    return value as Value
  }

  /** Refuses a list that differs from the expected one; a missing one is right. */
  expectList(key: string, expected: readonly string[]): void {
    const value = this.values.get(key) ?? expected
    if (!Array.isArray(value) || value.length !== expected.length || value.some((item, i) => item !== expected[i]))
      throw this.refuse(key, `[${expected.join(', ')}]`)
  }

  /** Refuses every setting that would change the computation into one that is not implemented. */
  expectFixed(settings: FixedSettings): void {
    for (const [key, { allowed, meaning }] of Object.entries(settings)) {
      const value = this.values.get(key)
      if (value === undefined || allowed.some((candidate) => means(value, candidate))) continue
      const expected = allowed.map(describeJson).join(' or ')
      throw this.refuse(key, `${expected}, the only form computed here${meaning === undefined ? '' : ` (${meaning})`}`)
    }
  }

  /** Keys of the file that nothing here knows; those that start with an underscore are about the file. */
  unknownKeys(known: ReadonlySet<string>): string[] {
    return [...this.values.keys()].filter((key) => !key.startsWith('_') && !known.has(key))
  }

  refuse(key: string, expected: string): CheckpointError {
    return new CheckpointError(this.path, `"${key}" must be ${expected}, found ${describeJson(this.values.get(key))}`)
  }
}

function isCount(value: unknown, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= most
}

/** One value for all levels may be written once or as a list of equal ones. */
function means(value: unknown, candidate: unknown): boolean {
  return value === candidate || (Array.isArray(value) && value.length > 0 && value.every((item) => item === candidate))
}
