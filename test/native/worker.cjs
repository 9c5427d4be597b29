// Runs in a worker: loads the addon by itself and computes. With `forever` it never stops; the test terminates it.
'use strict'
const { parentPort, workerData } = require('node:worker_threads')

const addon = require(workerData.binary)
const elements = 1 << 18

async function round(value) {
  const a = addon.fill([elements], 'float32', value)
  let sum = addon.fill([elements], 'float32', 0)
  for (let i = 0; i < 20; i++) {
    const next = addon.addForward(sum, a, 0)
    addon.dispose(sum)
    sum = next
  }
  const result = new Float32Array(await addon.read(sum))
  addon.dispose(a)
  addon.dispose(sum)
  return result[elements - 1]
}

async function main() {
  parentPort.postMessage({ first: await round(workerData.value) })
  while (workerData.forever) {
    // Several reads under way at once, and garbage that only a finalizer frees.
    addon.fill([64], 'float32', 1)
    await Promise.all([round(1), round(2), round(3)])
  }
}

main()
