import { didYouMean } from '../util/nearest.ts'

/** Settings that AdamW and AdamW8bit share; the defaults are PyTorch's. */
export interface AdamSettings {
  readonly betas: readonly [number, number]
  readonly eps: number
  readonly weightDecay: number
}

const names = ['betas', 'eps', 'weight_decay']

/**
 * Reads `key=value` texts as `--optimizer_args` has them: `betas=0.9,0.999` (in brackets or not), `eps=1e-8`, `weight_decay=0.01`.
 *
 * @returns the settings, defaults where none was given, and everything that is wrong
 */
export function readOptimizerArguments(texts: readonly string[]): {
  readonly settings: AdamSettings
  readonly problems: readonly string[]
} {
  let settings: AdamSettings = { betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01 }
  const problems: string[] = []
  for (const text of texts) {
    const [key = '', ...rest] = text.split('=')
    const name = key.trim()
    const value = rest.join('=').trim()
    if (rest.length === 0) {
      problems.push(`--optimizer_args must be key=value, found ${JSON.stringify(text)}`)
    } else if (name === 'betas') {
      const numbers = readNumbers(value)
      if (numbers?.length === 2 && numbers.every((beta) => beta >= 0 && beta < 1)) {
        settings = { ...settings, betas: [numbers[0]!, numbers[1]!] }
      } else {
        problems.push(
          `--optimizer_args: betas must be two numbers from 0 to below 1, such as 0.9,0.999; found "${value}"`,
        )
      }
    } else if (name === 'eps' || name === 'weight_decay') {
      const numbers = readNumbers(value)
      if (numbers?.length === 1 && numbers[0]! >= 0) {
        settings = name === 'eps' ? { ...settings, eps: numbers[0]! } : { ...settings, weightDecay: numbers[0]! }
      } else {
        problems.push(`--optimizer_args: ${name} must be a number of at least 0, found "${value}"`)
      }
    } else {
      const hint = didYouMean(name, names)
      problems.push(`--optimizer_args: unknown setting "${name}"; this version has ${names.join(', ')}.${hint}`)
    }
  }
  return { settings, problems }
}

/** Numbers in the form of a Python literal: `0.01`, `.9,.999`, `(0.9, 0.999)`. */
function readNumbers(text: string): readonly number[] | undefined {
  const inner = /^\((.*)\)$|^\[(.*)\]$/s.exec(text)
  const parts = (inner === null ? text : (inner[1] ?? inner[2]!)).split(',').map((part) => part.trim())
  const numbers = parts.map((part) => (part === '' ? Number.NaN : Number(part)))
  return numbers.every(Number.isFinite) ? numbers : undefined
}
