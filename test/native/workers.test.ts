import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { add } from '../../lib/ops/add.ts'
import { full } from '../../lib/tensor/create.ts'
import { baselineBuffers, binaryPath, collectGarbage, liveBuffers } from '../support/device.ts'

const script = fileURLToPath(new URL('worker.cjs', import.meta.url))

function start(value: number, forever: boolean): { worker: Worker; first: Promise<number>; ended: Promise<unknown> } {
  const worker = new Worker(script, { workerData: { binary: binaryPath(), value, forever } })
  const first = new Promise<number>((resolve, reject) => {
    worker.once('message', (message: { first: number }) => resolve(message.first))
    worker.once('error', reject)
  })
  return { worker, first, ended: new Promise((resolve) => worker.once('exit', resolve)) }
}

async function expectBaseline(before: number): Promise<void> {
  for (let i = 0; i < 50 && (await liveBuffers()) > before; i++) {
    await collectGarbage()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  expect(await liveBuffers()).toBe(before)
}

async function expectThatThisThreadComputes(): Promise<void> {
  const a = full([1000], 2)
  const b = add(a, a)
  expect(await b.read()).toEqual(new Float32Array(1000).fill(4))
  a.dispose()
  b.dispose()
}

describe('the addon in worker threads', () => {
  it('computes in eight at once beside the main thread, and they end by themselves', async () => {
    const before = await baselineBuffers()
    const workers = Array.from({ length: 8 }, (_, i) => start(i + 1, false))
    await expectThatThisThreadComputes()
    expect(await Promise.all(workers.map(({ first }) => first))).toEqual([20, 40, 60, 80, 100, 120, 140, 160])
    await Promise.all(workers.map(({ ended }) => ended))
    await expectBaseline(before)
  })

  it('survives that eight are terminated in the middle of their work, three times', async () => {
    const before = await baselineBuffers()
    for (let time = 0; time < 3; time++) {
      const workers = Array.from({ length: 8 }, (_, i) => start(i + 1, true))
      expect(await Promise.all(workers.map(({ first }) => first))).toEqual([20, 40, 60, 80, 100, 120, 140, 160])
      await Promise.all(workers.map(({ worker }) => worker.terminate()))
      await expectThatThisThreadComputes()
    }
    await expectBaseline(before)
  })

  it('survives termination while the addon is being loaded', async () => {
    const workers = Array.from({ length: 8 }, () => start(1, true))
    for (const { first } of workers) first.catch(() => undefined)
    await Promise.all(
      workers.map(({ worker }, i) =>
        new Promise((resolve) => setTimeout(resolve, 5 * i)).then(() => worker.terminate()),
      ),
    )
    await expectThatThisThreadComputes()
  })
})
