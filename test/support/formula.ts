/**
 * The deterministic test data both languages compute bit for bit: float32 values from a name and an index. The Python twin
 * and the definition are scripts/reference/formula.py; test/support/formula.test.ts proves that the two agree.
 */

export type FormulaKind = 'uniform' | 'ones+' | 'normal-like' | 'integer'

/** How one tensor of a fixture is made. */
export interface FormulaSpec {
  readonly shape: readonly number[]
  readonly kind: FormulaKind
  /** Bound for 'uniform', standard deviation for 'normal-like', exclusive upper limit for 'integer'. Default 1. */
  readonly scale?: number
  /** Added to 'uniform' and 'normal-like'. Default 0. */
  readonly offset?: number
}

function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return x ^ (x >>> 16)
}

/** The 32-bit key of a name: FNV-1a over its UTF-8 bytes, then mixed. Signed. */
export function formulaKey(name: string): number {
  let hash = 0x811c9dc5
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193)
  return mix(hash)
}

/** The upper 24 bits of the hash of one index (unsigned 32-bit). `key` comes from `formulaKey`. */
export function hash24(key: number, index: number): number {
  return mix(Math.imul(index, 0x9e3779b9) ^ key) >>> 8
}

/** Number of elements of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

/** Values of a float tensor, row-major. `kind` 'integer' is served by `formulaIntegers`. */
export function formulaValues(name: string, spec: FormulaSpec): Float32Array {
  const { kind, scale = 1, offset = 0 } = spec
  const count = elementCount(spec.shape)
  const values = new Float32Array(count)
  const key = formulaKey(name)
  switch (kind) {
    case 'uniform':
      for (let i = 0; i < count; i++) values[i] = (hash24(key, i) * 2 ** -23 - 1) * scale + offset
      return values
    case 'ones+':
      for (let i = 0; i < count; i++) values[i] = 1 + 0.1 * (hash24(key, i) * 2 ** -23 - 1)
      return values
    case 'normal-like': {
      const factor = scale * Math.sqrt(0.75)
      for (let i = 0; i < count; i++) {
        const j = 4 * i
        const sum = hash24(key, j) + hash24(key, j + 1) + hash24(key, j + 2) + hash24(key, j + 3)
        values[i] = (sum * 2 ** -23 - 4) * factor + offset
      }
      return values
    }
    case 'integer':
      return Float32Array.from(formulaIntegers(name, spec))
    default:
      throw new Error(`formula ${name}: unknown kind ${kind satisfies never}`)
  }
}

/** Integers in [0, scale). */
export function formulaIntegers(name: string, { shape, scale = 1 }: FormulaSpec): Int32Array {
  const values = new Int32Array(elementCount(shape))
  const key = formulaKey(name)
  for (let i = 0; i < values.length; i++) values[i] = Math.floor(hash24(key, i) * scale * 2 ** -24)
  return values
}

/** Rounds finite float32 values to bfloat16 (nearest even) and widens them again. Returns a new array. */
export function roundBfloat16(values: Float32Array): Float32Array {
  const rounded = values.slice()
  const bits = new Uint32Array(rounded.buffer)
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!
    bits[i] = (word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000
  }
  return rounded
}

/**
 * Weights of the tiny test models by parameter name, for a shape in file layout ([o, i, kh, kw] for convolutions): biases
 * 0.1 s, norm weights 1 + 0.1 s, embeddings of rms 0.3, matrices and convolutions uniform with bound sqrt(3 / fan-in).
 */
export function parameterSpec(name: string, shape: readonly number[]): FormulaSpec {
  if (name.endsWith('.bias')) return { shape, kind: 'uniform', scale: 0.1 }
  if (shape.length === 1) return { shape, kind: 'ones+' }
  if (name.includes('embedding.weight')) return { shape, kind: 'uniform', scale: Math.sqrt(3) * 0.3 }
  return { shape, kind: 'uniform', scale: Math.sqrt(3 / elementCount(shape.slice(1))) }
}

/** The float32 values of a model parameter; see `parameterSpec`. `name` carries its model: 'unet.', 'text_encoder.', 'vae.'. */
export function parameterValues(name: string, shape: readonly number[]): Float32Array {
  return formulaValues(name, parameterSpec(name, shape))
}
