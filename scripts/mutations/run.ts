/**
 * Makes a mistake in a CUDA kernel, or in what drives a GPU, compiles the emulation or the addon with it and runs the tests of what is
 * wrong now, which must fail; then the next. Each test file must first pass with all as it is. Prints a table; ends with 1 where no test
 * noticed a mistake.
 *
 * `npm run test:mutations -- [--only TEXT] [--seed N] [--count N] [--part K/N]`: mutations whose name or file holds TEXT; N of them,
 * chosen by the seed; every Nth from the Kth on, so that N processes share the list.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { buildWith, changedText, scratch, unchanged } from './builds.ts'
import { mutatedFiles } from './list.ts'
import type { MutatedFile } from './mutation.ts'

const report = join(scratch, 'report.json')
/** A mistake may make a kernel run for ever. */
const longestRun = 20 * 60_000

interface Mutation extends Omit<MutatedFile, 'mistakes'> {
  readonly name: string
  readonly find: string
  readonly replace: string
}

function chosenMutations(): Mutation[] {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      seed: { type: 'string' },
      count: { type: 'string' },
      part: { type: 'string', default: '1/1' },
    },
  })
  const [part = 0, parts = 0] = /^[1-9]\d*\/[1-9]\d*$/.test(values.part) ? values.part.split('/').map(Number) : []
  if (part < 1 || part > parts) throw new Error(`--part must be K/N with K from 1 to N, not "${values.part}"`)
  const chosen = mutatedFiles
    .flatMap(({ mistakes, ...file }) =>
      Object.entries(mistakes).map(([name, [find, replace]]) => ({ ...file, name, find, replace })),
    )
    .filter(({ name, file }) => name.includes(values.only) || file.includes(values.only))
  if (chosen.length === 0) throw new Error(`no mutation has "${values.only}" in its name or file`)
  const { seed } = values
  if (seed !== undefined) chosen.sort((a, b) => place(seed, a.name).localeCompare(place(seed, b.name)))
  return chosen
    .slice(0, values.count === undefined ? chosen.length : Number(values.count))
    .filter((_, i) => i % parts === part - 1)
}

function place(seed: string, name: string): string {
  return createHash('sha256').update(`${seed}/${name}`).digest('hex')
}

interface TestReport {
  readonly numPassedTests: number
  readonly testResults: readonly {
    readonly assertionResults: readonly {
      readonly status: string
      readonly fullName: string
      readonly failureMessages: readonly string[]
    }[]
  }[]
}

/**
 * Runs the tests of one file, in test/ops those that use the emulation, until one fails. Returns that one's name and its message; null if
 * all pass.
 */
function failureOf(
  test: string,
  variables: Readonly<Record<string, string>>,
): { readonly name: string; readonly message: string } | null {
  rmSync(report, { force: true })
  const options = ['--bail=1', '--testTimeout=0', '--reporter=json', `--outputFile=${report}`]
  if (test.startsWith('ops/')) options.push('-t', 'GPU|emulation')
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', 'run', '--project=library', `test/${test}.test.ts`, ...options],
    {
      env: { ...process.env, ...variables },
      encoding: 'utf8',
      timeout: longestRun,
      killSignal: 'SIGKILL',
    },
  )
  let result: TestReport
  try {
    result = JSON.parse(readFileSync(report, 'utf8')) as TestReport
  } catch {
    throw new Error(`test/${test}.test.ts did not run to its end:\n${stdout}${stderr}`)
  }
  const failed = result.testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .find((each) => each.status === 'failed')
  if (failed) return { name: failed.fullName, message: failed.failureMessages[0] ?? '' }
  if (status !== 0 || result.numPassedTests === 0)
    throw new Error(`test/${test}.test.ts ran no test to its end:\n${stdout}${stderr}`)
  return null
}

const passing = new Set<string>()
/** Time of the present mutation that went into tests of what is right. */
let checking = 0
function checkUnchanged(test: string): void {
  if (passing.has(test)) return
  const start = performance.now()
  const failure = failureOf(test, unchanged)
  if (failure) throw new Error(`test/${test}.test.ts fails with all as it is: ${failure.name}\n${failure.message}`)
  passing.add(test)
  checking += performance.now() - start
}

/** Which test notices a mutation, or null. */
function noticedBy({ file, find, replace, tests, sources }: Mutation): string | null {
  const variables = buildWith(file, changedText(file, find, replace), sources)
  for (const test of tests) {
    checkUnchanged(test)
    const failure = failureOf(test, variables)
    if (failure) return `${test}: ${failure.name}`
  }
  return null
}

const mutations = chosenMutations()
const width = Math.max(...mutations.map(({ name }) => name.length))
let caught = 0
console.log(`${'mutation'.padEnd(width)}  seconds  caught by`)
for (const mutation of mutations) {
  checking = 0
  const start = performance.now()
  let by: string
  try {
    const test = noticedBy(mutation)
    if (test !== null) caught++
    by = test ?? 'NO TEST'
  } catch (error) {
    by = `NOT TRIED: ${(error as Error).message}`
  }
  const seconds = ((performance.now() - start - checking) / 1000).toFixed(0).padStart(7)
  console.log(`${mutation.name.padEnd(width)}  ${seconds}  ${by}`)
}
console.log(`${caught} of ${mutations.length} mutations caught`)
process.exitCode = caught < mutations.length ? 1 : 0
