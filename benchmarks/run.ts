/**
 * Runs benchmarks and prints a table. scripts/bench.mjs bundles this file and every benchmark and calls it as
 * `run.js <group> [filter words] [--save] [--device cuda]`; it starts itself again with `--child` for each benchmark file.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { devicePeaks, type DevicePeaks as Peaks } from '../lib/doctor/devicePeaks.ts'
import { type GpuReport, listGpus } from '../lib/tensor/device.ts'
import { cpuTarget, threadCount } from '../lib/tensor/runtime.ts'
import { packageRoot } from '../lib/util/packageRoot.ts'
import { type Bench, type Measurement, measure } from './harness.ts'
import { type LoadMeasurement, loadTask, runLoad } from './load.ts'
import { device } from './tensors.ts'

const here = fileURLToPath(new URL('.', import.meta.url))

interface Message {
  readonly measurement?: Measurement
  readonly peaks?: Peaks
  readonly load?: LoadMeasurement
  readonly failed?: string
}

function report(message: Message): void {
  process.send?.(message)
}

/** The benchmarks of one file whose names hold all words. */
async function benchesOf(file: string, words: readonly string[]): Promise<readonly Bench[]> {
  const { benches } = (await import(pathToFileURL(file).href)) as { benches: readonly Bench[] }
  return benches.filter(({ name }) => words.every((word) => name.toLowerCase().includes(word.toLowerCase())))
}

/** In a child: measures them. */
async function runFile(file: string, words: readonly string[]): Promise<void> {
  for (const bench of await benchesOf(file, words)) {
    try {
      report({ measurement: await measure(bench) })
    } catch (error) {
      report({ failed: `${bench.name}: ${(error as Error).message}` })
    }
  }
}

function child(args: readonly string[], onMessage: (message: Message) => void): Promise<void> {
  return new Promise((resolve) => {
    const started = spawn(process.execPath, [fileURLToPath(import.meta.url), '--child', ...args], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    started.on('message', (message) => onMessage(message as Message))
    started.on('close', (code, signal) => {
      if (code !== 0) onMessage({ failed: `${args[0]} ended with ${signal ?? `exit code ${code}`}` })
      resolve()
    })
  })
}

/** The look-alike driver of native/emulation says so in its device's name. */
const isEmulated = (name: string): boolean => name.includes('emulated')

const number = (value: number | null, digits = 1): string => (value === null ? '' : value.toFixed(digits))

function row(m: Measurement, peaks: Peaks): string[] {
  const dtype = /\b(bfloat16|float16)\b/.exec(m.name)?.[0] as 'bfloat16' | 'float16' | undefined
  const gflops = peaks.gflops[dtype ?? 'float32'] ?? Number.POSITIVE_INFINITY
  const shares = [m.gflops === null ? 0 : m.gflops / gflops, m.gbs === null ? 0 : m.gbs / peaks.gbs]
  const share = Math.max(...shares)
  return [
    m.name,
    number(m.minMs, 3),
    number(m.medianMs, 3),
    number(m.gflops),
    number(m.gbs),
    share > 0 ? `${(100 * share).toFixed(0)} %` : '',
    number(m.peakBytes / 2 ** 20, 0),
    m.error === null ? '' : m.error.toExponential(1),
  ]
}

const heading = ['benchmark', 'min ms', 'median ms', 'GFLOP/s', 'GB/s', 'of peak', 'MiB', 'error']
const widths = [44, 9, 9, 9, 7, 7, 7, 9]
const line = (cells: readonly string[]): string =>
  cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ')

async function runAll(group: string, words: readonly string[], save: boolean, device: 'cpu' | 'cuda'): Promise<number> {
  process.env.NOISEWRIGHT_BENCH_DEVICE = device // for the processes it starts
  if (device === 'cuda') await firstGpu()
  const groups = readdirSync(here, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  if (!groups.some((entry) => entry.name === group)) {
    console.error(`There are no benchmarks called "${group}"; there are ${groups.map(({ name }) => name).join(', ')}.`)
    return 2
  }
  const files = readdirSync(join(here, group)).filter((name) => name.endsWith('.bench.js'))
  let peaks: Peaks | undefined
  const failures: string[] = []
  const measurements: Measurement[] = []
  await child(['--peaks'], (message) => {
    peaks = message.peaks ?? peaks
    if (message.failed) failures.push(message.failed)
  })
  if (peaks === undefined) {
    console.error(`The machine's peaks could not be measured. ${failures.join(' ')}`)
    return 1
  }
  const gpu = device === 'cuda' ? await firstGpu() : null
  const machine = {
    cpu: cpus()[0]!.model.trim(),
    ...(gpu ? { gpu: gpu.name } : { threads: threadCount(), target: cpuTarget() }),
    node: process.version,
  }
  console.log(`${Object.values(machine).join(', ')}`)
  if (gpu && isEmulated(gpu.name)) console.log('This GPU is emulated on the CPU: its times say nothing about any GPU.')
  const gflops = peaks.gflops.float32?.toFixed(0) ?? 'unknown'
  console.log(`peak ${gflops} GFLOP/s in float32, ${peaks.gbs.toFixed(1)} GB/s\n`)
  console.log(line(heading))
  for (const name of files) {
    const file = join(here, group, name)
    // A process is started only where there is something to measure.
    if ((await benchesOf(file, words)).length === 0) continue
    await child([file, ...words], ({ measurement, failed }) => {
      if (failed) {
        failures.push(failed)
        console.log(failed)
      }
      if (!measurement) return
      measurements.push(measurement)
      console.log(line(row(measurement, peaks!)))
    })
  }
  if (measurements.length === 0 && failures.length === 0) {
    console.error(`No benchmark of "${group}" has ${words.map((word) => `"${word}"`).join(' and ')} in its name.`)
    return 2
  }
  if (save) {
    const folder = join(packageRoot(), 'benchmarks', 'results')
    mkdirSync(folder, { recursive: true })
    const name = (gpu?.name ?? machine.cpu)
      .replace(/\([^)]*\)/g, '')
      .replace(/[^A-Za-z0-9]+/g, '-')
      .replace(/^-|-$/g, '')
      .toLowerCase()
    const path = join(folder, `${new Date().toISOString().slice(0, 10)}-${name}.json`)
    writeFileSync(path, `${JSON.stringify({ machine, peaks, measurements }, null, 2)}\n`)
    console.log(`\nsaved as ${path}`)
  }
  return failures.length > 0 ? 1 : 0
}

/** The first GPU; ends the process where there is none. */
async function firstGpu(): Promise<GpuReport> {
  const { unavailable, gpus } = await listGpus()
  if (unavailable === null) return gpus[0]!
  console.error(unavailable)
  process.exit(1)
}

const args = process.argv.slice(2)
if (args[0] === '--child') {
  if (args[1] === '--peaks') {
    const brief = device === 'cuda' && isEmulated((await firstGpu()).name)
    report({ peaks: await devicePeaks(device, { brief }) })
  } else if (args[1] === '--load') {
    const [task, path, type] = args.slice(2) as Parameters<typeof loadTask>
    report({ load: await loadTask(task, path, type) })
  } else await runFile(args[1]!, args.slice(2))
  process.disconnect?.()
} else if (args[0] === 'load') {
  await runLoad(async (...task) => {
    let measured: LoadMeasurement | undefined
    await child(['--load', ...task], ({ load, failed }) => {
      if (failed) throw new Error(failed)
      measured = load
    })
    if (!measured) throw new Error(`${task[0]} was not measured`)
    return measured
  })
} else {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { save: { type: 'boolean', default: false }, device: { type: 'string', default: 'cpu' } },
  })
  if (!['cpu', 'cuda'].includes(values.device))
    throw new Error(`--device must be cpu or cuda, found "${values.device}"`)
  const [group, ...words] = positionals
  process.exitCode = await runAll(group ?? 'ops', words, values.save, values.device as 'cpu' | 'cuda')
}
