/** Typed readers of the fixtures under test/fixtures; scripts/reference/ holds the Python that writes them. */

import { readFileSync } from 'node:fs'
import type { Digest } from './digest.ts'
import { type FormulaSpec, formulaIntegers, formulaValues, roundBfloat16 } from './formula.ts'

/** The dtype the inputs were rounded to before the float64 reference was computed. */
export type FixtureDType = 'float32' | 'bfloat16'

/** Float64 references of one case. */
export interface OpReference {
  readonly output: Digest
  /** By input name; absent when the case has no backward pass. */
  readonly gradients?: Readonly<Record<string, Digest>>
}

export interface OpCase {
  readonly name: string
  /** In the op's argument order. */
  readonly inputs: Readonly<Record<string, FormulaSpec>>
  readonly options: Readonly<Record<string, number | string | boolean | readonly number[]>>
  /** The output gradient; absent when the case has no backward pass. */
  readonly dy?: FormulaSpec
  readonly float32: OpReference
  readonly bfloat16?: OpReference
  /** Inputs that stay float32 in the bfloat16 reference. */
  readonly keepFloat32?: readonly string[]
  /** Multiply every tolerance by this: the case is worse conditioned than unit inputs. Default 1. */
  readonly toleranceFactor?: number
}

export interface OpFixture {
  readonly op: string
  readonly cases: readonly OpCase[]
}

/** Reads any JSON fixture; `path` is relative to test/fixtures. */
export function loadFixture<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(`../fixtures/${path}`, import.meta.url), 'utf8')) as T
}

/** The cases of one op of lib/ops: `loadOpFixture('linear')`. */
export function loadOpFixture(op: string): OpFixture {
  return loadFixture(`ops/${op}.json`)
}

/**
 * The data of an input (or 'dy') of a case: int32 for integer inputs, else float32; for 'bfloat16' rounded to bfloat16
 * values, except the inputs in `keepFloat32`. Parameters may be passed to the op as float32 in both variants.
 */
export function opInput(
  op: string,
  opCase: OpCase,
  input: string,
  dtype: FixtureDType = 'float32',
): Float32Array | Int32Array {
  const spec = input === 'dy' ? opCase.dy : opCase.inputs[input]
  const id = `${op}/${opCase.name}/${input}`
  if (spec === undefined) throw new Error(`${id}: the fixture has no such input`)
  if (spec.kind === 'integer') return formulaIntegers(id, spec)
  const values = formulaValues(id, spec)
  return dtype === 'bfloat16' && !opCase.keepFloat32?.includes(input) ? roundBfloat16(values) : values
}

/** CLIP token ids with BOS and EOS, not truncated. */
export interface TokenizerCase {
  readonly text: string
  /** What the Rust tokenizer gives: NFC, white space collapsed, lower case. */
  readonly ids: readonly number[]
  /** The Python tokenizer of transformers 4 without ftfy, where it differs from `ids`. */
  readonly slow?: readonly number[]
  /** The Python tokenizer with ftfy's repairs, where it differs from `ids`. */
  readonly ftfy?: readonly number[]
}

/** 200 captions: English, booru tags, scripts, emoji, entities, white space, very long ones. */
export function loadTokenizerFixture(): { readonly cases: readonly TokenizerCase[] } {
  return loadFixture('tokenizer/captions.json')
}

/** Codes of the 8-bit fixtures are stored as base64. */
export function unpackCodes(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'))
}
