import { expect } from 'vitest'
import type { CaptionRandom } from '../../lib/data/captions.ts'

/** What a random number generator was asked for, and what it answered. */
export type Draw =
  | { readonly float: number }
  | { readonly integer: number; readonly below: number }
  | { readonly shuffle: readonly number[] }

/** Gives the draws of the reference back, and fails when others are asked for. */
export class ScriptedRandom implements CaptionRandom {
  readonly #draws: Draw[]

  constructor(draws: readonly Draw[]) {
    this.#draws = [...draws]
  }

  #next<Kind extends 'float' | 'integer' | 'shuffle'>(kind: Kind): Extract<Draw, { readonly [K in Kind]: unknown }> {
    const draw = this.#draws.shift()
    if (draw === undefined || !(kind in draw)) throw new Error(`asked for ${kind}, scripted ${JSON.stringify(draw)}`)
    return draw as Extract<Draw, { readonly [K in Kind]: unknown }>
  }

  float(): number {
    return this.#next('float').float
  }

  integer(bound: number): number {
    const { integer, below } = this.#next('integer')
    expect(bound).toBe(below)
    return integer
  }

  shuffle<T>(values: T[]): T[] {
    const { shuffle } = this.#next('shuffle')
    const before = [...values]
    expect(shuffle).toHaveLength(before.length)
    shuffle.forEach((from, to) => {
      values[to] = before[from]!
    })
    return values
  }

  get left(): number {
    return this.#draws.length
  }
}
