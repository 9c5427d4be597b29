/** Random numbers as a reference script drew them, in place of a generator; see scripts/reference/sd_scripts.py. */

export type Draw =
  | { readonly float: number }
  | { readonly integer: number; readonly below: number }
  | { readonly shuffle: readonly number[] }

/** Gives out a list of draws in order; throws when something else is asked for than was drawn. */
export class ScriptedDraws {
  readonly #draws: readonly Draw[]
  #next = 0

  constructor(draws: readonly Draw[]) {
    this.#draws = draws
  }

  /** Draws that nothing has asked for yet. */
  get left(): number {
    return this.#draws.length - this.#next
  }

  /** In [0, 1). */
  float(): number {
    const draw = this.#take('float()')
    if (!('float' in draw)) throw this.#mismatch('float()', draw)
    return draw.float
  }

  /** A whole number from 0 up to, not including, `below`. */
  integer(below: number): number {
    const draw = this.#take(`integer(${below})`)
    if (!('integer' in draw) || draw.below !== below) throw this.#mismatch(`integer(${below})`, draw)
    return draw.integer
  }

  /** The items in another order; the list itself stays. */
  shuffle<T>(items: readonly T[]): T[] {
    const draw = this.#take(`shuffle of ${items.length}`)
    if (!('shuffle' in draw) || draw.shuffle.length !== items.length) {
      throw this.#mismatch(`shuffle of ${items.length}`, draw)
    }
    return draw.shuffle.map((at) => items[at]!)
  }

  #take(asked: string): Draw {
    const draw = this.#draws[this.#next++]
    if (draw === undefined) throw new Error(`${asked}, but the reference drew no more`)
    return draw
  }

  #mismatch(asked: string, draw: Draw): Error {
    return new Error(`draw ${this.#next}: ${asked}, but the reference drew ${JSON.stringify(draw)}`)
  }
}
