/**
 * Trains for a thousand steps and looks for leaks: the resident memory of the second half must lie flat, and at the end the device
 * must hold what it held before. `node scripts/soak.mjs [steps]` compiles and runs it.
 */
import { memory } from '../lib/tensor/runtime.ts'
import { startTinyTraining } from './tinyTraining.ts'

/** Growth of resident memory that the second half may show: the allocator's and V8's own unrest. */
const allowedGrowthBytes = 8 * 2 ** 20
const stepCount = Number(process.argv[2] ?? 1000)
const sampleEvery = Math.max(1, Math.floor(stepCount / 100))

/** The slope of the line with least squares through points with x = 0, 1, 2, ... */
function slope(values: readonly number[]): number {
  const meanX = (values.length - 1) / 2
  const meanY = values.reduce((a, b) => a + b, 0) / values.length
  let above = 0
  let below = 0
  values.forEach((value, x) => {
    above += (x - meanX) * (value - meanY)
    below += (x - meanX) ** 2
  })
  return above / below
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`

const before = memory().liveBuffers
const training = await startTinyTraining()
const resident: number[] = []
let afterFirst = 0
let mostBuffers = 0
const started = performance.now()
for (let step = 1; step <= stepCount; step++) {
  const loss = await training.step()
  if (!Number.isFinite(loss)) throw new Error(`the loss of step ${step} is ${loss}`)
  const { liveBuffers } = memory()
  if (step === 1) afterFirst = liveBuffers
  mostBuffers = Math.max(mostBuffers, liveBuffers)
  if (step % sampleEvery !== 0) continue
  globalThis.gc?.()
  const { rss, heapUsed } = process.memoryUsage()
  resident.push(rss)
  if (resident.length % 10 !== 0) continue
  const rate = (1000 * step) / (performance.now() - started)
  console.log(
    `step ${step}: loss ${loss.toFixed(4)}, resident ${mebibytes(rss)}, JavaScript heap ${mebibytes(heapUsed)}, ` +
      `${liveBuffers} buffers, ${rate.toFixed(1)} steps/s`,
  )
}
await training.dispose()
const left = memory().liveBuffers - before

const secondHalf = resident.slice(resident.length >> 1)
const growth = slope(secondHalf) * (secondHalf.length - 1)
console.log(`\nresident memory over the second half, by a straight line: ${growth >= 0 ? '+' : ''}${mebibytes(growth)}`)
console.log(
  `live buffers: ${afterFirst} after the first step, ${mostBuffers} at most after any, ${left} left at the end`,
)

const problems: string[] = []
if (growth > allowedGrowthBytes) problems.push(`resident memory grew by more than ${mebibytes(allowedGrowthBytes)}`)
if (mostBuffers !== afterFirst) problems.push('steps leave buffers behind')
if (left !== 0) problems.push('the training leaves buffers behind')
console.log(problems.length === 0 ? 'no leak found' : `FAILED: ${problems.join('; ')}`)
process.exitCode = problems.length === 0 ? 0 : 1
