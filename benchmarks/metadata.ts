/**
 * `npm run bench -- metadata [python]`: opening metadata files of fine-tuning, beside Python's `json.load` when the path of an interpreter is
 * given. Every measurement has a process of its own; files are in the page cache; the best of three runs counts.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { MetadataEntry } from '../lib/metadata/metadataEntry.ts'
import { readMetadata } from '../lib/metadata/readMetadata.ts'
import { writeMetadata } from '../lib/metadata/writeMetadata.ts'
import { packageRoot } from '../lib/util/packageRoot.ts'

const counts = [1_000, 10_000, 100_000, 1_000_000]
const runs = 3

interface Result {
  readonly seconds: number
  /** Processor time of all threads: what counts on a machine that does other things too. */
  readonly cpuSeconds: number
  /** Highest resident memory of the process, and what of it was there before. */
  readonly peakBytes: number
  readonly startBytes: number
  /** Longest time that nothing else of the process had its turn; ours only. */
  readonly longestMs?: number
}

const words = '1girl solo long_hair blue_eyes smile white_shirt outdoors sky cloud frog 青い猫 Blüte'.split(' ')

/** Entries with a caption, tags and a size: some 290 bytes each. */
function makeEntries(count: number): Map<string, MetadataEntry> {
  const entries = new Map<string, MetadataEntry>()
  for (let i = 0; i < count; i++) {
    const pick = (k: number): string => words[(i * 7 + k * k * 5) % words.length]!
    const caption = Array.from({ length: 10 }, (_, k) => pick(k)).join(' ')
    const tags = Array.from({ length: 12 }, (_, k) => pick(k + 3)).join(', ')
    const key = `pictures/set_${i % 50}/picture_${String(i).padStart(7, '0')}.png`
    entries.set(
      key,
      new MetadataEntry([
        ['caption', caption],
        ['tags', tags],
        ['train_resolution', [512 + 64 * (i % 5), 448]],
      ]),
    )
  }
  return entries
}

/** In a child. */
async function open(path: string): Promise<Result> {
  const startBytes = process.memoryUsage().rss
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const cpuBefore = process.cpuUsage()
  const started = performance.now()
  const { entries } = await readMetadata(path)
  const seconds = (performance.now() - started) / 1000
  const { user, system } = process.cpuUsage(cpuBefore)
  delay.disable()
  if (entries.size === 0) throw new Error('nothing was read')
  const peakBytes = process.resourceUsage().maxRSS * 1024
  return { seconds, cpuSeconds: (user + system) / 1e6, startBytes, peakBytes, longestMs: delay.max / 1e6 }
}

function child(program: string, args: readonly string[]): Result {
  const { stdout, status, stderr } = spawnSync(program, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}:\n${stderr}`)
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Result
}

const number = (value: number, digits: number, width: number): string => value.toFixed(digits).padStart(width)

/** The fastest of some runs, with the highest memory and the longest wait of all. */
function row(program: string, args: readonly string[]): string {
  const results = Array.from({ length: runs }, () => child(program, args))
  const seconds = Math.min(...results.map((result) => result.seconds))
  const cpuSeconds = Math.min(...results.map((result) => result.cpuSeconds))
  const peak = Math.max(...results.map((result) => result.peakBytes)) / 2 ** 20
  const start = Math.max(...results.map((result) => result.startBytes)) / 2 ** 20
  const longest = Math.max(...results.map(({ longestMs }) => longestMs ?? Number.NaN))
  const wait = Number.isNaN(longest) ? '' : `${number(longest, 0, 9)} ms`
  return `${number(seconds, 3, 8)} s ${number(cpuSeconds, 3, 8)} s ${number(peak, 0, 8)} MiB ${number(start, 0, 8)} MiB ${wait}`
}

async function compare(python: string | undefined): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'noisewright-bench-'))
  const path = join(folder, 'metadata.json')
  const yardstick = join(packageRoot(), 'benchmarks', 'yardsticks', 'metadata.py')
  try {
    console.log(
      `${'entries'.padStart(9)}  file MB  ${''.padEnd(11)}     open  processor         peak   before it  longest turn`,
    )
    for (const count of counts) {
      await writeMetadata(path, makeEntries(count))
      const name = `${String(count).padStart(9)} ${number(statSync(path).size / 1e6, 1, 8)}  `
      console.log(
        `${name}${'noisewright'.padEnd(11)} ${row(process.execPath, [fileURLToPath(import.meta.url), '--open', path])}`,
      )
      if (python !== undefined) console.log(`${name}${'json.load'.padEnd(11)} ${row(python, [yardstick, path])}`)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const [mode, path] = process.argv.slice(2)
if (mode === '--open') console.log(JSON.stringify(await open(path!)))
else await compare(mode)
