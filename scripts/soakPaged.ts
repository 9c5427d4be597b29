/**
 * Optimizer states that do not fit: steps of PagedAdamW under a limit of memory that is too small for its states must complete, with
 * the results of AdamW, which must fail there. Prints what paging costs beside AdamW without a limit.
 * `node scripts/soak.mjs paged [folder of the states]` compiles and runs it; Linux, with the right to make a control group.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AdamW, type Optimizer, PagedAdamW } from '../lib/optim/index.ts'
import { randomNormal } from '../lib/tensor/create.ts'
import { type MemoryGroup, makeMemoryGroup } from './memoryGroup.ts'

const [tensors, size, steps] = [64, 1 << 20, 5]
const stateBytes = 8 * tensors * size
/** Of the states, so much fits in. */
const share = 0.25

/** What a run found out. */
interface Report {
  /** Memory of its own, without files, before there were states. */
  readonly heldBytes: number
  readonly milliseconds: readonly number[]
  readonly readBytes: number
  readonly writtenBytes: number
  readonly parameters: string
}

const makers: Readonly<Record<string, (folder: string, params: ConstructorParameters<typeof AdamW>[0]) => Optimizer>> =
  {
    AdamW: (_, groups) => new AdamW(groups),
    PagedAdamW: (folder, groups) => new PagedAdamW(groups, { folder }),
    'PagedAdamW, residentBytes 0': (folder, groups) => new PagedAdamW(groups, { folder, residentBytes: 0 }),
  }

function procNumber(file: string, key: string): number {
  const line = readFileSync(file, 'utf8')
    .split('\n')
    .find((each) => each.startsWith(`${key}:`))
  return Number(/\d+/.exec(line ?? '')?.[0] ?? 0)
}

/** In a process of its own: steps an optimizer and writes a report to stdout. */
async function work(name: string, folder: string, group: string): Promise<void> {
  if (group !== '') writeFileSync(join(group, 'cgroup.procs'), String(process.pid))
  const params = Array.from({ length: tensors }, (_, i) => {
    const master = randomNormal([size], { seed: 1, stream: i })
    master.grad = randomNormal([size], { seed: 2, stream: i })
    return { name: `p${i}`, master }
  })
  const settled = async (): Promise<void> => {
    const last = randomNormal([1], { seed: 3 })
    await last.read()
    last.dispose()
  }
  await settled()
  const heldBytes = 1024 * procNumber('/proc/self/status', 'RssAnon')
  const optimizer = makers[name]!(folder, [{ params }])
  const milliseconds: number[] = []
  const before = {
    read: procNumber('/proc/self/io', 'read_bytes'),
    written: procNumber('/proc/self/io', 'write_bytes'),
  }
  for (let step = 0; step < steps; step++) {
    const started = performance.now()
    optimizer.step()
    await settled()
    milliseconds.push(performance.now() - started)
  }
  const readBytes = procNumber('/proc/self/io', 'read_bytes') - before.read
  const writtenBytes = procNumber('/proc/self/io', 'write_bytes') - before.written
  const hash = createHash('sha256')
  for (const { master } of params) {
    hash.update((await master.read()) as Float32Array)
    globalThis.gc?.()
  }
  const report: Report = { heldBytes, milliseconds, readBytes, writtenBytes, parameters: hash.digest('hex') }
  process.stdout.write(JSON.stringify(report))
}

const mebibytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`

/** The report of a run, or how it ended without one. */
function run(name: string, folder: string, group: MemoryGroup | null): Report | string {
  const args = ['--expose-gc', process.argv[1]!, 'work', name, folder, group?.folder ?? '']
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (status === 0) return JSON.parse(stdout) as Report
  return signal === null ? `failed: ${stderr.trim().split('\n').at(-1)}` : `ended by the system with ${signal}`
}

function show(name: string, result: Report | string): void {
  const cells =
    typeof result === 'string'
      ? [result]
      : [
          `${Math.min(...result.milliseconds.slice(1))
            .toFixed(0)
            .padStart(7)} ms a step`,
          `first ${result.milliseconds[0]!.toFixed(0)} ms`,
          `read ${mebibytes(result.readBytes / steps)}, written ${mebibytes(result.writtenBytes / steps)} a step`,
        ]
  console.log(`  ${name.padEnd(30)}${cells.join(', ')}`)
}

function main(folder: string): string[] {
  if (statfsSync(folder).type === 0x01021994)
    return [`${folder} is a file system in memory, where states would not be out of memory: name another folder`]
  console.log(
    `${mebibytes(4 * tensors * size)} of parameters, as much of gradients, ${mebibytes(stateBytes)} of states; ${steps} steps.`,
  )
  console.log('without a limit:')
  const free = new Map(Object.keys(makers).map((name) => [name, run(name, folder, null)]))
  for (const [name, result] of free) show(name, result)
  const plain = free.get('AdamW')!
  if (typeof plain === 'string') return [`AdamW without a limit: ${plain}`]
  const limit = plain.heldBytes + share * stateBytes
  const problems: string[] = []
  for (const name of Object.keys(makers)) {
    let group: MemoryGroup
    try {
      group = makeMemoryGroup(limit)
    } catch (error) {
      return [`this machine refuses to limit the memory of a process, so nothing is shown: ${String(error)}`]
    }
    if (name === 'AdamW') console.log(`at most ${mebibytes(limit)}, file pages included (${group.kind}):`)
    const result = run(name, folder, group)
    show(`${name}`, result)
    console.log(`  ${''.padEnd(30)}at most ${mebibytes(group.peakBytes())} in use`)
    group.remove()
    if (name === 'AdamW') {
      if (typeof result !== 'string') problems.push('AdamW fits into the limit, which shows nothing')
    } else if (typeof result === 'string') problems.push(`${name} does not complete`)
    else if (result.parameters !== plain.parameters) problems.push(`${name} comes to other parameters than AdamW`)
  }
  for (const [name, result] of free)
    if (typeof result === 'string' || result.parameters !== plain.parameters)
      problems.push(`${name} without a limit does not come to the parameters of AdamW`)
  return problems
}

const [first, ...others] = process.argv.slice(2)
if (first === 'work') await work(others[0]!, others[1]!, others[2]!)
else {
  const problems = main(first ?? tmpdir())
  console.log(
    problems.length === 0 ? 'paged steps complete where the states do not fit' : `FAILED: ${problems.join('; ')}`,
  )
  process.exitCode = problems.length === 0 ? 0 : 1
}
