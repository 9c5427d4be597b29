/** Losses of a training in a file of JSON Lines, means of equal numbers of steps, so that curves can be drawn when all is done. */
import { readFile } from 'node:fs/promises'
import { atomicWrite } from '../../lib/io/atomicWrite.ts'

export interface LossPoint {
  readonly step: number
  readonly loss: number
}

/** Collects means and prints them now and then. A run that goes on replaces what a stopped one wrote after its state. */
export class LossLog {
  readonly #path: string
  readonly #title: string
  readonly #every: number
  #points: LossPoint[] | null = null
  #sum = 0
  #count = 0
  #printed = performance.now()

  constructor(path: string, title: string, every: number) {
    this.#path = path
    this.#title = title
    this.#every = every
  }

  async add(step: number, loss: number): Promise<void> {
    this.#points ??= (await readLosses(this.#path)).filter((point) => point.step < step)
    this.#sum += loss
    this.#count++
    if (step % this.#every !== 0) return
    const mean = this.#sum / this.#count
    const pace = (performance.now() - this.#printed) / this.#count
    console.log(`  ${this.#title}, step ${step}: loss ${mean.toFixed(4)}, ${pace.toFixed(0)} ms a step`)
    this.#points.push({ step, loss: mean })
    this.#sum = 0
    this.#count = 0
    this.#printed = performance.now()
    await atomicWrite(this.#path, this.#points.map((point) => `${JSON.stringify(point)}\n`).join(''))
  }
}

/** Empty when there is no such file. */
export async function readLosses(path: string): Promise<LossPoint[]> {
  const text = await readFile(path, 'utf8').catch(() => '')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as LossPoint)
}
