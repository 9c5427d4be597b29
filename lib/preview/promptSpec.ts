import { isSamplerName, type SamplerName, samplerNames } from '../config/samplerNames.ts'
import { samplerSteps } from '../diffusion/samplers/createSampler.ts'
import { ConfigError, type ConfigErrorDetails } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'

/** One preview picture to draw. */
export interface PromptSpec {
  /** Brackets weigh words: `(more)`, `[less]`, `(this:1.3)`. */
  readonly prompt: string
  /** Default: empty. */
  readonly negativePrompt: string
  /** Pixels: a multiple of 8, 64 to 4096. Default: 512. */
  readonly width: number
  readonly height: number
  /** Sampler steps, 1 to 1000; some samplers take fewer, see `samplerSteps`. Default: 30. */
  readonly steps: number
  /** Strength of classifier-free guidance; off at 1 and below. Default: 7.5. */
  readonly scale: number
  /** Absent: each picture is drawn from another seed. */
  readonly seed?: number
  /** Absent: that of whoever draws it. */
  readonly sampler?: SamplerName
}

export const promptDefaults = { negativePrompt: '', width: 512, height: 512, steps: 30, scale: 7.5 } as const

/** Pictures are drawn in latent cells of 8 pixels: rounded down, at least 64. */
export function previewSize(pixels: number): number {
  return Math.max(64, pixels - (pixels % 8))
}

export const MAX_STEPS = 1000
export const MAX_SIDE = 4096
/** Many times the 225 tokens that are drawn; the time to find its brackets grows with the square of a text's length. */
export const MAX_TEXT_LENGTH = 10_000

/** Options that belong to models this version does not have, by their letters in prompt lines. */
export const unsupported = { cn: 'a control image', g: 'a second guidance scale' } as const

/**
 * What is wrong with a prompt, for an error message.
 * @param sampler of prompts that name none
 */
export function checkPrompt(spec: PromptSpec, sampler: SamplerName): string | undefined {
  const name = spec.sampler ?? sampler
  const { least, most } = samplerSteps(name)
  if (spec.steps >= least && spec.steps <= most) return undefined
  return `the sampler ${name} takes ${least} to ${most} steps, found ${spec.steps}; change the steps or the sampler`
}

export interface PromptLineContext {
  /** Where the line stands, for messages. */
  readonly place?: ConfigErrorDetails
  /** Sampler of lines that name none: with it their steps are checked. Default `ddim`. */
  readonly sampler?: SamplerName
  /** Told about pieces that are not options. Default: nobody. */
  readonly onWarning?: (message: string) => void
}

/**
 * Reads a prompt line: `a cat --n blurry --w 512 --h 768 --s 28 --l 7 --d 42 --ss euler_a`.
 *
 * The line is split at ` --`; the first piece is the prompt. `n` negative prompt, `w` and `h` size, `s` steps (clamped to
 * 1…1000), `l` guidance scale, `d` seed, `ss` sampler: letters (in either case), one space, value; what follows a number is
 * ignored. A later option wins over an earlier one. Unlike sd-scripts a prompt that itself begins like an option stays a prompt.
 *
 * @throws ConfigError for a value that is not a number or out of range, and for options that are not supported
 */
export function parsePromptLine(line: string, context: PromptLineContext = {}): PromptSpec {
  const { place = {}, sampler = 'ddim', onWarning = () => {} } = context
  const [prompt = '', ...pieces] = line.trim().split(' --')
  let spec: PromptSpec = { prompt, ...promptDefaults }
  for (const piece of pieces) {
    const change = readPiece(piece, place)
    if (change === undefined) onWarning(warning(piece, place))
    else spec = { ...spec, ...change }
  }
  const tooLong = [spec.prompt, spec.negativePrompt].find((text) => text.length > MAX_TEXT_LENGTH)
  if (tooLong !== undefined) {
    const message = `expected prompts of at most ${MAX_TEXT_LENGTH} characters, found ${tooLong.length}; shorten it`
    throw new ConfigError(message, place)
  }
  const problem = checkPrompt(spec, sampler)
  if (problem !== undefined) throw new ConfigError(problem, { ...place, option: '--s' })
  return spec
}

/** What a piece of a line changes; undefined when it is not an option. */
function readPiece(piece: string, place: ConfigErrorDetails): Partial<PromptSpec> | undefined {
  const [, letters = '', value = ''] = /^(ss|cn|[a-z]) (.*)$/is.exec(piece) ?? []
  const fail = (message: string): never => {
    throw new ConfigError(message, { ...place, option: `--${letters}` })
  }
  const number = (pattern: RegExp, fits: (found: number) => boolean, what: string): number => {
    const found = Number(pattern.exec(value)?.[0] ?? Number.NaN)
    return fits(found) ? found : fail(`--${letters} must be followed by ${what}, found "${value.slice(0, 100)}"`)
  }
  const whole = (): number => number(/^\d+/, Number.isSafeInteger, 'a whole number')
  const side = (): number => {
    const pixels = whole()
    return pixels <= MAX_SIDE ? previewSize(pixels) : fail(`--${letters} must be at most ${MAX_SIDE}, found ${pixels}`)
  }
  switch (letters.toLowerCase()) {
    case 'w':
      return { width: side() }
    case 'h':
      return { height: side() }
    case 'd':
      return { seed: whole() }
    case 's':
      return { steps: Math.min(MAX_STEPS, Math.max(1, whole())) }
    case 'l':
      return { scale: number(/^[\d.]+/, Number.isFinite, 'a number') }
    case 'ss': {
      const name = value.trim()
      if (isSamplerName(name)) return { sampler: name }
      const known = `one of ${samplerNames.join(', ')}`
      return fail(
        `--${letters} must be followed by ${known}, found "${name.slice(0, 100)}".${didYouMean(name, samplerNames)}`,
      )
    }
    case 'n':
      return value === '' ? undefined : { negativePrompt: value }
    case 'cn':
      return fail(`--${letters} (${unsupported.cn}) is not supported in prompts; remove it`)
    case 'g':
      return fail(`--${letters} (${unsupported.g}) is not supported in prompts; remove it`)
    default:
      return undefined
  }
}

function warning(piece: string, { file, line }: ConfigErrorDetails): string {
  const where = file === undefined ? '' : `${file}:${line ?? 1}: `
  const options = '--n, --w, --h, --s, --l, --d and --ss'
  return `${where}"--${piece}" is not an option and is ignored; options are ${options}, each with one space`
}
