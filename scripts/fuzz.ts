/**
 * Mutates valid files and reads them, parser by parser in turns, for a given time. Prints the number of inputs tried for each
 * parser, and for a failure the input and the seed that makes it again. The heap is limited to 1 GiB (scripts/fuzz.mjs).
 * `node scripts/fuzz.mjs [minutes [parser [seed]]]` compiles and runs it.
 */
import fc from 'fast-check'
import { fuzzTargets } from '../test/io/fuzzTargets.ts'

const minutes = Number(process.argv[2] ?? 1)
const only = process.argv[3]
const fixedSeed = process.argv[4]
if (!(minutes > 0)) throw new Error('usage: node scripts/fuzz.mjs [minutes [parser [seed]]]')

/** Inputs of one turn: short enough for every parser to get its share, long enough for the seed to matter little. */
const TURN_INPUTS = 500
const targets = (await fuzzTargets()).filter(({ name }) => only === undefined || name === only)
if (targets.length === 0) throw new Error(`no parser is called "${only}"`)
const tallies = new Map(targets.map(({ name }) => [name, { read: 0, refused: 0, failed: 0 }]))
const end = performance.now() + minutes * 60_000
let peakBytes = 0
for (let seed = Number(fixedSeed ?? Date.now() % 2 ** 31); performance.now() < end; seed++) {
  for (const { name, inputs, run } of targets) {
    const tally = tallies.get(name)!
    const property = fc.asyncProperty(inputs, async (bytes) => {
      tally[await run(bytes)]++
    })
    const details = await fc.check(property, { seed, numRuns: TURN_INPUTS })
    peakBytes = Math.max(peakBytes, process.memoryUsage().rss)
    if (!details.failed) continue
    tally.failed++
    const input = Buffer.from(details.counterexample?.[0] ?? []).toString('base64')
    console.log(`${name}: seed ${seed}: ${String(details.errorInstance)}\n  input (base64): ${input}`)
  }
}
const milliseconds = minutes * 60_000
console.log(
  `\n${'parser'.padEnd(14)}${'inputs'.padStart(10)}${'read'.padStart(10)}${'refused'.padStart(10)}${'failed'.padStart(8)}`,
)
for (const [name, { read, refused, failed }] of tallies) {
  const numbers = [read + refused, read, refused].map((count) => String(count).padStart(10)).join('')
  console.log(`${name.padEnd(14)}${numbers}${String(failed).padStart(8)}`)
}
console.log(`${milliseconds / 60_000} min, peak resident memory ${Math.round(peakBytes / 2 ** 20)} MiB`)
process.exitCode = [...tallies.values()].some(({ failed }) => failed > 0) ? 1 : 0
