/**
 * Which of many looks are alike, exactly, without comparing each with each. Hashes of two look-alikes differ in fewer bits than there are
 * bands of bits: they agree on all of one band at least (multi-index hashing, Norouzi et al. 2012). Groups that are still large, such as
 * pictures on one background, are banded again by the bits that remain; what tells most is dealt to all bands alike.
 */
import { Pace } from '../util/pace.ts'
import { type Look, mostBits, mostDifference, mostRatio, side } from './similarPictures.ts'

/** What is found for a picture. */
export interface Alike {
  /** Pictures that look like it. */
  readonly count: number
  /** Positions of the first of them, rising. */
  readonly first: readonly number[]
}

export interface AlikeOptions {
  /** Positions that are kept of each picture. Default 5. */
  readonly mostNamed?: number
  readonly signal?: AbortSignal | undefined
}

const pixels = side * side
const hashBits = 128
const hashWords = 4
const bands = mostBits + 1
/** Look-alikes differ by so much at most, all pixels together, and so do sums of them with any signs. */
const mostSum = mostDifference * pixels
/** Groups of up to so many are compared in full, others banded again while so many bits are left. */
const smallGroup = 1024
const fewestBits = 4 * bands
/** Of a group, to see which bits tell most. */
const sampleSize = 256
/** Numbers below these are packed into one: a band's bits, a sum of grey, a place in a list. */
const sums = 2 ** 15
const places = 2 ** 21

/**
 * Finds for each look that has any its look-alikes, with pauses for other work of the event loop. Time and memory follow the number of
 * looks and, where they are many, of pairs; looks that are the same count as one until the end.
 *
 * @param looks fewer than 2^21
 * @returns by position in the list
 * @throws the signal's reason
 */
export async function findAlike(looks: readonly Look[], options: AlikeOptions = {}): Promise<Map<number, Alike>> {
  const { mostNamed = 5, signal } = options
  const same = groupSame(looks)
  const found = same.map((): { count: number; first: number[] } => ({ count: 0, first: [] }))
  const note = (one: number, other: number): void => {
    const [mine, members] = [found[one]!, same[other]!]
    mine.count += members.length
    for (let i = 0; i < members.length && i < mostNamed; i++) keepFirst(mine.first, members[i]!, mostNamed)
  }
  const search = new LookSearch(
    same.map(([at]) => looks[at!]!),
    (a, b) => {
      note(a, b)
      note(b, a)
    },
  )
  const pace = new Pace()
  for (const _ of search.run()) {
    if (!pace.due) continue
    await pace.pause()
    signal?.throwIfAborted()
  }
  const alike = new Map<number, Alike>()
  for (const [one, members] of same.entries()) {
    const { count, first } = found[one]!
    if (count + members.length < 2) continue
    for (const at of members) {
      const named = first.slice()
      for (const other of members.slice(0, mostNamed + 1)) if (other !== at) keepFirst(named, other, mostNamed)
      alike.set(at, { count: count + members.length - 1, first: named })
    }
  }
  return alike
}

/** Puts a number into a rising list of the `most` smallest. */
function keepFirst(list: number[], value: number, most: number): void {
  if (list.length === most && value >= list[most - 1]!) return
  const at = list.findIndex((other) => other > value)
  list.splice(at < 0 ? list.length : at, 0, value)
  if (list.length > most) list.pop()
}

/** Positions of looks with the same numbers, rising, in the order of their first. */
function groupSame(looks: readonly Look[]): number[][] {
  const groups = new Map<string, number[]>()
  for (const [at, { ratio, grey }] of looks.entries()) {
    const key = `${ratio} ${Buffer.from(grey.buffer, grey.byteOffset, grey.byteLength).toString('latin1')}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [at])
    else group.push(at)
  }
  return [...groups.values()]
}

/** The search among looks that all differ. Every pair that is alike is told once. It yields where there may be a pause. */
class LookSearch {
  readonly #looks: readonly Look[]
  readonly #found: (a: number, b: number) => void
  /** [looks, hashWords] */
  readonly #hashes: Int32Array
  /** Sums of the grey pictures, and with the lower, and the right half subtracted. */
  readonly #sums: readonly [all: Int32Array, upper: Int32Array, left: Int32Array]

  constructor(looks: readonly Look[], found: (a: number, b: number) => void) {
    this.#looks = looks
    this.#found = found
    this.#hashes = new Int32Array(looks.length * hashWords)
    const [all, upper, left] = [0, 1, 2].map(() => new Int32Array(looks.length))
    this.#sums = [all!, upper!, left!]
    for (const [at, { hash, grey }] of looks.entries()) {
      for (let word = 0; word < hashWords; word++)
        this.#hashes[at * hashWords + word] = hash[2 * word]! | (hash[2 * word + 1]! << 16)
      for (let i = 0; i < pixels; i++) {
        const value = grey[i]!
        all![at]! += value
        upper![at]! += 2 * i < pixels ? value : -value
        left![at]! += 2 * (i % side) < side ? value : -value
      }
    }
  }

  *run(): Generator<void, void, void> {
    const all = Int32Array.from(this.#looks.keys())
    const bits = Array.from({ length: hashBits }, (_, bit) => bit)
    yield* this.#search(all, bits, [])
  }

  /**
   * @param bits on which the members need not agree
   * @param earlier bands by which a pair has been found already, if it agrees on all of one: words with ones at their bits
   */
  *#search(members: Int32Array, bits: readonly number[], earlier: readonly Int32Array[]): Generator<void, void, void> {
    const passed = [...earlier]
    const dealt = members.length <= smallGroup ? [[]] : this.#dealBits(members, bits)
    for (const band of dealt) {
      const sorted = this.#sort(members, band)
      for (let begin = 0, end = 1; end <= members.length; end++) {
        if (end < members.length && this.#agree(sorted[begin]!, sorted[end]!, band)) continue
        const group = sorted.subarray(begin, end)
        begin = end
        const rest = bits.length - band.length
        // Banding again makes as many searches as there are bands: it pays where a band tells that much apart.
        if (group.length > smallGroup && group.length * bands <= members.length && rest >= fewestBits)
          yield* this.#search(
            group,
            bits.filter((bit) => !band.includes(bit)),
            passed,
          )
        else if (group.length > 1) {
          yield* this.#compare(group, passed)
          yield
        }
      }
      passed.push(maskOf(band))
    }
  }

  /** Bits in as many bands as needed, those that differ most among the members first, one to each band in turn. */
  #dealBits(members: Int32Array, bits: readonly number[]): number[][] {
    const step = Math.max(1, Math.floor(members.length / sampleSize))
    const ones = new Int32Array(hashBits)
    let sampled = 0
    for (let i = 0; i < members.length; i += step, sampled++)
      for (const bit of bits) ones[bit]! += this.#bit(members[i]!, bit)
    const evenness = (bit: number): number => Math.min(ones[bit]!, sampled - ones[bit]!)
    const dealt: number[][] = Array.from({ length: bands }, () => [])
    for (const [at, bit] of bits.toSorted((a, b) => evenness(b) - evenness(a)).entries()) dealt[at % bands]!.push(bit)
    return dealt
  }

  /** By what they have in a band, and then by their sums. */
  #sort(members: Int32Array, band: readonly number[]): Int32Array {
    const keys = new Float64Array(members.length)
    for (let place = 0; place < members.length; place++) {
      const at = members[place]!
      let key = 0
      for (let i = 0; i < band.length; i++) key = key * 2 + this.#bit(at, band[i]!)
      keys[place] = (key * sums + this.#sums[0][at]!) * places + place
    }
    keys.sort()
    const sorted = new Int32Array(members.length)
    for (let i = 0; i < keys.length; i++) sorted[i] = members[keys[i]! % places]!
    return sorted
  }

  #agree(a: number, b: number, band: readonly number[]): boolean {
    for (let i = 0; i < band.length; i++) if (this.#bit(a, band[i]!) !== this.#bit(b, band[i]!)) return false
    return true
  }

  #bit(at: number, bit: number): number {
    return (this.#hashes[at * hashWords + (bit >> 5)]! >>> (bit & 31)) & 1
  }

  /**
   * Each with each whose sums are close enough: within strips of the difference between upper and lower half, and with the next strip.
   * @param members sorted by their sums
   */
  *#compare(members: Int32Array, earlier: readonly Int32Array[]): Generator<void, void, void> {
    let previous: number[] = []
    for (const strip of this.#strips(members)) {
      const isNext = previous.length > 0 && this.#stripOf(strip[0]!) === this.#stripOf(previous[0]!) + 1
      let [compared, first] = [0, 0]
      for (let i = 0; i < strip.length; i++) {
        compared += this.#compareFrom(strip[i]!, strip, i + 1, earlier)
        if (isNext) {
          const least = this.#sums[0][strip[i]!]! - mostSum
          while (first < previous.length && this.#sums[0][previous[first]!]! < least) first++
          compared += this.#compareFrom(strip[i]!, previous, first, earlier)
        }
        if (compared < 10_000) continue
        compared = 0
        yield
      }
      previous = strip
    }
  }

  /** Strips that hold any, in their order. */
  #strips(members: Int32Array): number[][] {
    const strips = new Map<number, number[]>()
    for (const at of members) {
      const strip = strips.get(this.#stripOf(at))
      if (strip === undefined) strips.set(this.#stripOf(at), [at])
      else strip.push(at)
    }
    return [...strips].sort(([a], [b]) => a - b).map(([, strip]) => strip)
  }

  #stripOf(at: number): number {
    return Math.floor(this.#sums[1][at]! / (mostSum + 1))
  }

  /** One with those of a list from a place on, until their sums are too large. @returns how many */
  #compareFrom(a: number, list: readonly number[], from: number, earlier: readonly Int32Array[]): number {
    const [all, upper, left] = this.#sums
    const [most, high, aside] = [all[a]! + mostSum, upper[a]!, left[a]!]
    let j = from
    for (; j < list.length; j++) {
      const b = list[j]!
      if (all[b]! > most) break
      if (Math.abs(upper[b]! - high) > mostSum || Math.abs(left[b]! - aside) > mostSum) continue
      if (this.#areAlike(a, b, earlier)) this.#found(a, b)
    }
    return j - from
  }

  #areAlike(a: number, b: number, earlier: readonly Int32Array[]): boolean {
    let bits = 0
    for (let word = 0; word < hashWords; word++) {
      bits += bitCount(this.#differing(a, b, word))
      if (bits > mostBits) return false
    }
    const [one, other] = [this.#looks[a]!, this.#looks[b]!]
    if (Math.max(one.ratio, other.ratio) > mostRatio * Math.min(one.ratio, other.ratio)) return false
    if (earlier.some((mask) => this.#agreeOn(a, b, mask))) return false
    let difference = 0
    for (let i = 0; i < pixels && difference <= mostSum; i++) difference += Math.abs(one.grey[i]! - other.grey[i]!)
    return difference <= mostSum
  }

  #agreeOn(a: number, b: number, mask: Int32Array): boolean {
    for (let word = 0; word < hashWords; word++) if ((this.#differing(a, b, word) & mask[word]!) !== 0) return false
    return true
  }

  #differing(a: number, b: number, word: number): number {
    return this.#hashes[a * hashWords + word]! ^ this.#hashes[b * hashWords + word]!
  }
}

function maskOf(bits: readonly number[]): Int32Array {
  const mask = new Int32Array(hashWords)
  for (const bit of bits) mask[bit >> 5]! |= 1 << (bit & 31)
  return mask
}

/** Ones of 32 bits. */
function bitCount(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555)
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333)
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
