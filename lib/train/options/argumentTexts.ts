import { BLOCK_COUNT } from '../../networks/blockWeights.ts'

/** The texts of `--network_args` as values. What cannot be read is null, and a problem. */
export class ArgumentTexts {
  readonly #args: Readonly<Record<string, string>>
  readonly #problems: string[]

  /** @param problems receives what is wrong */
  constructor(args: Readonly<Record<string, string>>, problems: string[]) {
    this.#args = args
    this.#problems = problems
  }

  has(name: string): boolean {
    return this.#args[name] !== undefined
  }

  text(name: string): string | null {
    return this.#args[name] ?? null
  }

  problem(message: string): void {
    this.#problems.push(`--network_args: ${message}`)
  }

  /** A problem for an argument that is given without another that gives it its meaning. */
  needs(name: string, other: string, there: boolean): void {
    if (this.has(name) && !there) this.problem(`${name} has no effect without ${other}`)
  }

  /** @param rule in words, after "a number" */
  number(name: string, rule: string, holds: (value: number) => boolean): number | null {
    const text = this.text(name)
    if (text === null) return null
    const value = text === '' ? Number.NaN : Number(text)
    if (Number.isFinite(value) && holds(value)) return value
    this.problem(`${name} must be a number ${rule}, found ${JSON.stringify(text)}`)
    return null
  }

  count(name: string): number | null {
    const text = this.text(name)
    if (text === null) return null
    if (/^[1-9]\d*$/.test(text)) return Number(text)
    this.problem(`${name} must be a whole number of 1 or more, found ${JSON.stringify(text)}`)
    return null
  }

  /** A probability below 1. */
  share(name: string): number | null {
    return this.number(name, 'in [0, 1)', (value) => value >= 0 && value < 1)
  }

  /** As Python programs write them. */
  boolean(name: string): boolean | null {
    const text = this.text(name)
    if (text === null) return null
    if (/^(true|yes|1)$/i.test(text)) return true
    if (/^(false|no|0|none)$/i.test(text)) return false
    this.problem(`${name} must be True or False, found ${JSON.stringify(text)}`)
    return null
  }

  choice<Name extends string>(name: string, choices: readonly Name[]): Name | null {
    const text = this.text(name)
    if (text === null) return null
    const found = choices.find((choice) => choice === text.toLowerCase())
    if (found === undefined) this.problem(`${name} must be one of ${choices.join(', ')}, found ${JSON.stringify(text)}`)
    return found ?? null
  }

  /** A number of at least 0 for each block of the U-Net, with commas between them. */
  blocks(name: string, whole = false): number[] | null {
    const text = this.text(name)
    if (text === null) return null
    const values = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)))
    const fits = values.every((value) => value >= 0 && Number.isFinite(value) && (!whole || Number.isInteger(value)))
    if (fits && values.length === BLOCK_COUNT) return values
    const numbers = `${BLOCK_COUNT} ${whole ? 'whole ' : ''}numbers of at least 0 with commas between them`
    this.problem(`${name} must be ${numbers}, found ${fits ? values.length : JSON.stringify(text)}`)
    return null
  }
}
