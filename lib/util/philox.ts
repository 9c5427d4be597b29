/**
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 * A value is a function of its key, never of what was drawn before, so a resumed run needs no generator state.
 */
import { ArgumentError } from './errors.ts'

/** Four unsigned 32-bit words. */
export type Words4 = readonly [number, number, number, number]

const multiplier0 = 0xd2511f53
const multiplier1 = 0xcd9e8d57
const weyl0 = 0x9e3779b9
const weyl1 = 0xbb67ae85

/** The upper 32 bits of the 64-bit product of two unsigned 32-bit words. Every partial sum below fits 32 bits. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16)
  const middle2 = aLow * bHigh + (middle & 0xffff)
  return (aHigh * bHigh + (middle >>> 16) + (middle2 >>> 16)) >>> 0
}

/** One Philox4x32-10 block: four words out of a 128-bit counter and a 64-bit key, both little end first. */
export function philox4x32(counter: Words4, key: readonly [number, number]): Words4 {
  let [c0, c1, c2, c3] = counter
  let [k0, k1] = key
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(multiplier0, c0)
    const low0 = Math.imul(multiplier0, c0)
    const high1 = multiplyHigh(multiplier1, c2)
    const low1 = Math.imul(multiplier1, c2)
    c0 = (high1 ^ c1 ^ k0) >>> 0
    c1 = low1 >>> 0
    c2 = (high0 ^ c3 ^ k1) >>> 0
    c3 = low0 >>> 0
    k0 = (k0 + weyl0) >>> 0
    k1 = (k1 + weyl1) >>> 0
  }
  return [c0, c1, c2, c3]
}

/** One element of a stream's key: a purpose such as `'captions'`, or a whole number such as an epoch. */
export type KeyPart = string | number | bigint

const numberTag = 1
const textTag = 2

/** A part as 64-bit chunks of two words. The tag and the chunk count keep `'a'`, `1` and `'a', 'b'` versus `'ab'` apart. */
function chunksOf(part: KeyPart): { readonly tag: number; readonly chunks: readonly (readonly [number, number])[] } {
  if (typeof part === 'string') {
    const bytes = new TextEncoder().encode(part)
    const padded = new DataView(new ArrayBuffer(Math.ceil(bytes.length / 8) * 8 + 8))
    new Uint8Array(padded.buffer).set(bytes)
    padded.setUint32(padded.byteLength - 8, bytes.length, true)
    const chunks: [number, number][] = []
    for (let at = 0; at < padded.byteLength; at += 8) {
      chunks.push([padded.getUint32(at, true), padded.getUint32(at + 4, true)])
    }
    return { tag: textTag, chunks }
  }
  if (typeof part === 'number' && !Number.isSafeInteger(part)) {
    throw new ArgumentError('PhiloxStream', 'a key part', 'text or a whole number', String(part))
  }
  return { tag: numberTag, chunks: [split64(BigInt(part))] }
}

/** The low and high word of a whole number modulo 2^64. */
function split64(value: bigint): [number, number] {
  const bits = BigInt.asUintN(64, value)
  return [Number(bits & 0xffffffffn), Number(bits >> 32n)]
}

/**
 * An endless stream of random numbers that is a pure function of its key, for example
 * `new PhiloxStream(seed, 'captions', epoch, dataset, position)`.
 *
 * The key's parts are folded one after another through Philox itself, so streams that differ in any part are unrelated.
 */
export class PhiloxStream {
  readonly #key: readonly [number, number]
  readonly #nonce: readonly [number, number]
  #block = 0
  #words: Words4 = [0, 0, 0, 0]
  #used = 4

  /** @param seed a whole number, taken modulo 2^64 */
  constructor(seed: bigint | number, ...parts: readonly KeyPart[]) {
    if (typeof seed === 'number' && !Number.isSafeInteger(seed)) {
      throw new ArgumentError('PhiloxStream', 'seed', 'a whole number', String(seed))
    }
    let key = split64(BigInt(seed))
    let nonce: [number, number] = [0, 0]
    for (const part of parts) {
      const { tag, chunks } = chunksOf(part)
      for (const [low, high] of chunks) {
        const [k0, k1, n0, n1] = philox4x32([low, high, (nonce[0] ^ tag) >>> 0, nonce[1]], key)
        key = [k0, k1]
        nonce = [n0, n1]
      }
    }
    this.#key = key
    this.#nonce = nonce
  }

  /** The next word, uniform in 0 to 2^32 - 1. */
  uint32(): number {
    if (this.#used === 4) {
      const high = Math.floor(this.#block / 0x1_0000_0000)
      const counter: Words4 = [this.#block >>> 0, high, this.#nonce[0], this.#nonce[1]]
      this.#words = philox4x32(counter, this.#key)
      this.#block++
      this.#used = 0
    }
    return this.#words[this.#used++]!
  }

  /** Uniform in [0, 1), a multiple of 2^-32. */
  float(): number {
    return this.uint32() / 0x1_0000_0000
  }

  /** A whole number from 0 to `bound - 1`, each equally likely (words past the last full multiple are drawn again). */
  integer(bound: number): number {
    if (!Number.isInteger(bound) || bound < 1 || bound > 0x1_0000_0000) {
      throw new ArgumentError('PhiloxStream.integer', 'bound', 'a whole number from 1 to 2^32', String(bound))
    }
    const limit = 0x1_0000_0000 - (0x1_0000_0000 % bound)
    let word = this.uint32()
    while (word >= limit) word = this.uint32()
    return word % bound
  }

  /** Shuffles `values` in place (Fisher and Yates) and returns the same array. */
  shuffle<T>(values: T[]): T[] {
    for (let i = values.length - 1; i > 0; i--) {
      const j = this.integer(i + 1)
      const held = values[i]!
      values[i] = values[j]!
      values[j] = held
    }
    return values
  }
}
