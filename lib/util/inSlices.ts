/** Work goes on for this long before other work of the event loop gets its turn. */
const sliceMs = 4
const checkedEvery = 16

/** Calls `work` for each number below `count`, in order, without keeping the event loop from other work for long. */
export async function inSlices(count: number, work: (index: number) => void): Promise<void> {
  let until = performance.now() + sliceMs
  for (let index = 0; index < count; index++) {
    work(index)
    if (index % checkedEvery !== 0 || performance.now() < until) continue
    await new Promise(setImmediate)
    until = performance.now() + sliceMs
  }
}
