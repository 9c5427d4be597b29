import { once } from 'node:events'
import { join, sep } from 'node:path'
import { Worker } from 'node:worker_threads'

/** What tells whether a file is still the one that was looked at before. */
export interface Fingerprint {
  readonly size: number
  readonly mtimeMs: number
}

/** One string crosses to the thread faster than many. As text, so that it needs no file of its own in the bundled package. */
const source = `
const { parentPort, workerData } = require('node:worker_threads')
const { statSync } = require('node:fs')
const names = workerData.names.split('\\0')
const found = new Float64Array(names.length * 2).fill(NaN)
names.forEach((name, i) => {
  try {
    const { size, mtimeMs } = statSync(workerData.folder + name)
    found.set([size, mtimeMs], i * 2)
  } catch {}
})
parentPort.postMessage(found, [found.buffer])
`

/**
 * Sizes and times of change of many files of a folder, by name, following links; without those that cannot be looked at.
 * A thread of its own asks one after the other: of 200,000 files that takes a tenth of the time that awaiting each answer would.
 */
export async function statFiles(folder: string, names: readonly string[]): Promise<Map<string, Fingerprint>> {
  const worker = new Worker(source, { eval: true, workerData: { folder: join(folder, sep), names: names.join('\0') } })
  try {
    const [found] = (await once(worker, 'message')) as [Float64Array]
    const files = new Map<string, Fingerprint>()
    names.forEach((name, i) => {
      const size = found[i * 2]!
      if (!Number.isNaN(size)) files.set(name, { size, mtimeMs: found[i * 2 + 1]! })
    })
    return files
  } finally {
    await worker.terminate()
  }
}
