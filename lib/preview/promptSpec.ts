import { ConfigError, type ConfigErrorDetails } from '../util/errors.ts'

/** One preview picture to draw. */
export interface PromptSpec {
  readonly prompt: string
  /** Default: empty. */
  readonly negativePrompt: string
  /** Pixels: a multiple of 8, at least 64. Default: 512. */
  readonly width: number
  readonly height: number
  /** Sampler steps, 1 to 1000. Default: 30. */
  readonly steps: number
  /** Strength of classifier-free guidance; off at 1 and below. Default: 7.5. */
  readonly scale: number
  /** Absent: each picture is drawn from another seed. */
  readonly seed?: number
}

export const promptDefaults = { negativePrompt: '', width: 512, height: 512, steps: 30, scale: 7.5 } as const

/** Pictures are drawn in latent cells of 8 pixels: rounded down, at least 64. */
export function previewSize(pixels: number): number {
  return Math.max(64, pixels - (pixels % 8))
}

const MAX_STEPS = 1000

/** Options of a prompt line that belong to samplers and models this version does not have. */
const unsupportedLetters: Readonly<Record<string, string>> = {
  ss: 'a sampler of its own for one prompt',
  cn: 'a control image',
  g: 'a second guidance scale',
}

export interface PromptLineContext {
  /** Where the line stands, for messages. */
  readonly place?: ConfigErrorDetails
  /** Told about pieces that are not options. Default: nobody. */
  readonly onWarning?: (message: string) => void
}

/**
 * Reads a prompt line: `a cat --n blurry --w 512 --h 768 --s 28 --l 7 --d 42`.
 *
 * The line is split at ` --`; the first piece is the prompt. `n` negative prompt, `w` and `h` size, `s` steps (clamped to
 * 1…1000), `l` guidance scale, `d` seed: letter (in either case), one space, value; what follows a number is ignored.
 * A later option wins over an earlier one. Unlike sd-scripts a prompt that itself begins like an option stays a prompt.
 *
 * @throws ConfigError for a value that is not a number, and for options that are not supported
 */
export function parsePromptLine(line: string, context: PromptLineContext = {}): PromptSpec {
  const { place = {}, onWarning = () => {} } = context
  const [prompt = '', ...pieces] = line.trim().split(' --')
  let spec: PromptSpec = { prompt, ...promptDefaults }
  for (const piece of pieces) {
    const [, letter = '', value = ''] = /^(ss|cn|[a-z]) (.*)$/is.exec(piece) ?? []
    const option = letter.toLowerCase()
    if (option in unsupportedLetters) {
      const message = `--${letter} (${unsupportedLetters[option]}) is not supported in prompts; remove it`
      throw new ConfigError(message, { ...place, option: `--${letter}` })
    }
    const number = (pattern: RegExp, what: string): number => {
      const found = Number(pattern.exec(value)?.[0] ?? Number.NaN)
      if (Number.isFinite(found) && (what === 'a number' || Number.isSafeInteger(found))) return found
      throw new ConfigError(`--${letter} must be followed by ${what}, found "${value}"`, {
        ...place,
        option: `--${letter}`,
      })
    }
    const whole = (): number => number(/^\d+/, 'a whole number')
    if (option === 'w') spec = { ...spec, width: previewSize(whole()) }
    else if (option === 'h') spec = { ...spec, height: previewSize(whole()) }
    else if (option === 'd') spec = { ...spec, seed: whole() }
    else if (option === 's') spec = { ...spec, steps: Math.min(MAX_STEPS, Math.max(1, whole())) }
    else if (option === 'l') spec = { ...spec, scale: number(/^[\d.]+/, 'a number') }
    else if (option === 'n' && value !== '') spec = { ...spec, negativePrompt: value }
    else onWarning(warning(piece, place))
  }
  return spec
}

function warning(piece: string, { file, line }: ConfigErrorDetails): string {
  const where = file === undefined ? '' : `${file}:${line ?? 1}: `
  return `${where}"--${piece}" is not an option and is ignored; options are --n, --w, --h, --s, --l and --d, each with one space`
}

/** Checks one value of a prompt table; gives the message's end when it is wrong. */
export const promptKeys = {
  prompt: { check: (value: unknown) => typeof value === 'string', expected: 'a text' },
  negative_prompt: { check: (value: unknown) => typeof value === 'string', expected: 'a text' },
  width: { check: isCount, expected: 'a whole number of pixels' },
  height: { check: isCount, expected: 'a whole number of pixels' },
  sample_steps: {
    check: (value: unknown) => isCount(value) && value >= 1 && value <= MAX_STEPS,
    expected: `a whole number from 1 to ${MAX_STEPS}`,
  },
  scale: { check: (value: unknown) => typeof value === 'number' && Number.isFinite(value), expected: 'a number' },
  seed: { check: isCount, expected: 'a whole number of 0 or more' },
} as const satisfies Record<string, { check: (value: unknown) => boolean; expected: string }>

export type PromptKey = keyof typeof promptKeys

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

/** A prompt from a table whose values have passed {@link promptKeys}. */
export function promptFromTable(table: Readonly<Partial<Record<PromptKey, unknown>>>): PromptSpec {
  const { prompt, negative_prompt, width, height, sample_steps, scale, seed } = table as {
    readonly [K in PromptKey]?: K extends 'prompt' | 'negative_prompt' ? string : number
  }
  return {
    prompt: prompt ?? '',
    negativePrompt: negative_prompt ?? promptDefaults.negativePrompt,
    width: previewSize(width ?? promptDefaults.width),
    height: previewSize(height ?? promptDefaults.height),
    steps: sample_steps ?? promptDefaults.steps,
    scale: scale ?? promptDefaults.scale,
    ...(seed === undefined ? {} : { seed }),
  }
}
