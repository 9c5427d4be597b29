/** Prompts as tables of TOML and JSON files. */
import { isSamplerName, samplerNames } from '../config/samplerNames.ts'
import { didYouMean } from '../util/nearest.ts'
import {
  MAX_SIDE,
  MAX_STEPS,
  MAX_TEXT_LENGTH,
  type PromptSpec,
  previewSize,
  promptDefaults,
  unsupported,
} from './promptSpec.ts'

interface TableKey {
  readonly check: (value: unknown) => boolean
  /** The end of "… must be". */
  readonly expected: string
}

const text: TableKey = {
  check: (value) => typeof value === 'string' && value.length <= MAX_TEXT_LENGTH,
  expected: `a text of at most ${MAX_TEXT_LENGTH} characters`,
}
const pixels: TableKey = {
  check: (value) => isCount(value) && value <= MAX_SIDE,
  expected: `a whole number of pixels of at most ${MAX_SIDE}`,
}

const promptKeys = {
  prompt: text,
  negative_prompt: text,
  width: pixels,
  height: pixels,
  sample_steps: {
    check: (value) => isCount(value) && value >= 1 && value <= MAX_STEPS,
    expected: `a whole number from 1 to ${MAX_STEPS}`,
  },
  scale: { check: (value) => typeof value === 'number' && Number.isFinite(value), expected: 'a number' },
  seed: { check: isCount, expected: 'a whole number of 0 or more' },
  sample_sampler: {
    check: (value) => typeof value === 'string' && isSamplerName(value),
    expected: `one of ${samplerNames.join(', ')}`,
  },
} as const satisfies Record<string, TableKey>

const unsupportedKeys: Readonly<Record<string, string>> = {
  controlnet_image: unsupported.cn,
  guidance_scale: unsupported.g,
}

type PromptKey = keyof typeof promptKeys

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

export function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}

export interface TableProblem {
  readonly key: string
  readonly message: string
}

/** The first key that is not among those known. */
export function promptKeyProblem(table: object, known: readonly string[]): TableProblem | undefined {
  const key = Object.keys(table).find((name) => !known.includes(name))
  if (key === undefined) return undefined
  const hint = didYouMean(key, known) || ` Known are ${known.join(', ')}.`
  return { key, message: `unknown key "${key}".${hint}` }
}

/** The first key that is unknown or not supported, or whose value is of a wrong kind. */
export function checkPromptTable(table: Readonly<Record<string, unknown>>): TableProblem | undefined {
  const missing = Object.keys(table).find((key) => Object.hasOwn(unsupportedKeys, key))
  if (missing !== undefined) {
    return { key: missing, message: `${missing} (${unsupportedKeys[missing]}) is not supported in prompts; remove it` }
  }
  const unknown = promptKeyProblem(table, Object.keys(promptKeys))
  if (unknown !== undefined) return unknown
  for (const [key, value] of Object.entries(table)) {
    const { check, expected }: TableKey = promptKeys[key as PromptKey]
    if (check(value)) continue
    const hint = key === 'sample_sampler' && typeof value === 'string' ? `.${didYouMean(value, samplerNames)}` : ''
    const found = JSON.stringify(value)
    return { key, message: `${key} must be ${expected}, found ${found.slice(0, 100)}${hint}` }
  }
  return undefined
}

/** A prompt from a table that has passed {@link checkPromptTable} and has a prompt. */
export function promptFromTable(table: Readonly<Partial<Record<PromptKey, unknown>>>): PromptSpec {
  const given = table as {
    readonly [K in PromptKey]?: K extends 'prompt' | 'negative_prompt' ? string : number
  }
  const { prompt = '', seed } = given
  const sampler = table.sample_sampler
  return {
    prompt,
    negativePrompt: given.negative_prompt ?? promptDefaults.negativePrompt,
    width: previewSize(given.width ?? promptDefaults.width),
    height: previewSize(given.height ?? promptDefaults.height),
    steps: given.sample_steps ?? promptDefaults.steps,
    scale: given.scale ?? promptDefaults.scale,
    ...(seed === undefined ? {} : { seed }),
    ...(typeof sampler === 'string' && isSamplerName(sampler) ? { sampler } : {}),
  }
}
