import { refuseStep } from '../autograd/recorder.ts'
import type { DropoutKey } from '../nn/branch.ts'
import { streamOf } from '../nn/init.ts'
import { PhiloxStream } from '../util/philox.ts'

/**
 * What a network draws while it trains: every draw is a function of the seed, of its name and of the number of the forward pass, so
 * that a pass that is computed again draws the same.
 */
export class Chance {
  /** Whether anything is drawn: not in previews and evaluation. */
  training = true
  readonly #seed: bigint
  #pass = 0n

  constructor(seed: number | bigint) {
    this.#seed = BigInt.asUintN(64, BigInt(seed))
  }

  /** Names the forward pass that comes next. */
  setPass(pass: number): void {
    this.#pass = BigInt(pass)
  }

  /** Masks that drop with a probability, another for every pass; null where nothing is dropped. */
  masks(name: string, p: number | null): (() => DropoutKey | null) | null {
    if (!p) return null
    const mask = streamOf(name)
    return () => (this.training ? { p, seed: this.#seed, stream: mask ^ (this.#pass << 20n) } : null)
  }

  /** Numbers of one name, in the order in which they are drawn in this pass. */
  numbers(name: string): PhiloxStream {
    refuseStep('network', 'draws in each pass what is computed in it')
    return new PhiloxStream(this.#seed, name, this.#pass)
  }
}
