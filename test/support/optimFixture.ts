/** Typed readers of test/fixtures/optim: gradient norm, AdamW, block-wise quantisation and AdamW8bit. */

import type { Digest } from './digest.ts'
import { type FixtureDType, loadFixture } from './fixtureCases.ts'
import type { FormulaSpec } from './formula.ts'

export interface GradientNormFixture {
  readonly cases: readonly {
    readonly name: string
    /** g0, g1, ...: the gradients of one model, named 'gradientNorm/<case>/g<i>'. */
    readonly inputs: Readonly<Record<string, FormulaSpec>>
    readonly options: { readonly maxNorm: number }
    /** L2 norm over all gradients, and min(1, maxNorm / (norm + 1e-6)). */
    readonly float32: { readonly norm: number; readonly clipCoefficient: number }
    readonly bfloat16: { readonly norm: number; readonly clipCoefficient: number }
  }[]
}

export interface AdamWOptions {
  readonly learningRate: number
  readonly beta1: number
  readonly beta2: number
  readonly eps: number
  readonly weightDecay: number
}

export interface AdamWFixture {
  readonly cases: readonly {
    readonly name: string
    /** p and the gradients g1, g2, g3 of three steps, named 'adamW/<case>/<input>'. */
    readonly inputs: Readonly<Record<string, FormulaSpec>>
    readonly options: AdamWOptions
    /** The parameter and both moments after each step, float64. */
    readonly steps: readonly { readonly p: Digest; readonly m: Digest; readonly v: Digest }[]
  }[]
}

export interface QuantizeBlockwiseFixture {
  /** The 256 entries of each code table, exact in float32. */
  readonly maps: { readonly signed: readonly number[]; readonly unsigned: readonly number[] }
  /** The code of each of the 255 float32 midpoints between neighbours: ties go to the even code. */
  readonly midpointCodes: { readonly signed: readonly number[]; readonly unsigned: readonly number[] }
  /** Codes of single values at absmax 1; `signedOfMinusX` before the sign is repaired. */
  readonly spots: {
    readonly x: readonly number[]
    readonly signed: readonly number[]
    readonly signedOfMinusX: readonly number[]
    readonly unsigned: readonly number[]
  }
  readonly cases: readonly {
    readonly name: string
    readonly inputs: { readonly x: FormulaSpec }
    /** Square the formula values (in float32) first: second moments are never negative. */
    readonly squared: boolean
    readonly options: { readonly signed: boolean; readonly blockSize: number }
    /** base64, see `unpackCodes`. */
    readonly codes: string
    readonly absmax: readonly number[]
    readonly dequantized: Digest
  }[]
}

export interface AdamW8bitOptions extends AdamWOptions {
  /** Decay after the step (as on CUDA in the reference) instead of before (as in torch). */
  readonly decayAfter: boolean
}

export interface AdamW8bitFixture {
  /** Three steps on inputs given by closed formulas, blocks of 256; values at `index`, absmax of the first three blocks. */
  readonly vector: {
    readonly p0: string
    readonly g: string
    readonly count: number
    readonly steps: number
    readonly options: AdamW8bitOptions
    readonly index: readonly number[]
    readonly p: readonly number[]
    readonly c1: readonly number[]
    readonly c2: readonly number[]
    readonly absmax1: readonly number[]
    readonly absmax2: readonly number[]
    readonly sums: { readonly p: number; readonly c1: number; readonly c2: number }
  }
  readonly cases: readonly {
    readonly name: string
    /** Of the parameter and the gradients; 'bfloat16' rounds both, and the parameter after each update and decay. */
    readonly dtype: FixtureDType
    /** p, g1, g2, g3, named 'adamW8bit/<case>/<input>'. */
    readonly inputs: Readonly<Record<string, FormulaSpec>>
    readonly options: AdamW8bitOptions
    /** float32 simulation: codes may differ by one between implementations. Codes (base64) after steps 1 and 3 only. */
    readonly steps: readonly {
      readonly p: Digest
      readonly absmax1: readonly number[]
      readonly absmax2: readonly number[]
      readonly c1?: string
      readonly c2?: string
    }[]
  }[]
}

interface OptimFixtures {
  readonly gradientNorm: GradientNormFixture
  readonly adamW: AdamWFixture
  readonly quantizeBlockwise: QuantizeBlockwiseFixture
  readonly adamW8bit: AdamW8bitFixture
}

/** `loadOptimFixture('adamW')`. */
export function loadOptimFixture<K extends keyof OptimFixtures>(op: K): OptimFixtures[K] {
  return loadFixture(`optim/${op}.json`)
}
