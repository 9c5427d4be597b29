/** Work goes on for this long before other work of the event loop gets its turn. */
const sliceMs = 4

/** For long loops on the main thread: tells when it is time to let the event loop do other work, and lets it. */
export class Pace {
  #until = performance.now() + sliceMs

  get due(): boolean {
    return performance.now() >= this.#until
  }

  async pause(): Promise<void> {
    await new Promise(setImmediate)
    this.#until = performance.now() + sliceMs
  }
}

const checkedEvery = 16

/** Calls `work` for each number below `count`, in order, without keeping the event loop from other work for long. */
export async function inSlices(count: number, work: (index: number) => void): Promise<void> {
  const pace = new Pace()
  for (let index = 0; index < count; index++) {
    work(index)
    if (index % checkedEvery === 0 && pace.due) await pace.pause()
  }
}
