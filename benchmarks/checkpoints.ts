/**
 * `npm run bench -- checkpoints [python]`: loading, converting and saving a checkpoint of Stable Diffusion 1.5's sizes (float32, 4.3 GB,
 * random bits that are small numbers), and the same in Python when the path of an interpreter with safetensors, diffusers and transformers
 * is given. Every measurement has a process of its own; files are in the page cache; the best of two runs counts.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { convertCheckpoint } from '../lib/checkpoints/convertCheckpoint.ts'
import { writeLdmCheckpoint } from '../lib/checkpoints/ldmWriter.ts'
import { modelParts } from '../lib/checkpoints/modelSource.ts'
import { sd1 } from '../lib/models/stableDiffusion/config.ts'
import { parameterShapes } from '../lib/models/stableDiffusion/parameterShapes.ts'
import { fileShape } from '../lib/nn/weights.ts'
import { packageRoot } from '../lib/util/packageRoot.ts'

const tasks = ['load', 'convert', 'save'] as const
type Task = (typeof tasks)[number]

interface Result {
  readonly seconds: number
  /** Highest resident memory of the process. */
  readonly peakBytes: number
}

const descriptions: Readonly<Record<Task, string>> = {
  load: 'load into float32 models',
  convert: 'convert to a float16 folder',
  save: 'save from memory',
}

/** Numbers below 0.1 from a generator that takes no time. */
function smallNumbers(count: number, seed: number): Uint8Array {
  const values = new Float32Array(count)
  let state = seed | 1
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    values[i] = state * 4.6e-11
  }
  return new Uint8Array(values.buffer)
}

async function makeCheckpoint(path: string): Promise<void> {
  const [unet, textEncoder, vae] = modelParts.map((part) =>
    parameterShapes(part, sd1).map(({ name, shape, layout }, i) => {
      const count = shape.reduce((product, size) => product * size, 1)
      return { name, dtype: 'F32' as const, shape: fileShape(shape, layout), data: async () => smallNumbers(count, i) }
    }),
  )
  await writeLdmCheckpoint(path, { config: sd1, parts: { unet: unet!, textEncoder: textEncoder!, vae: vae! } })
}

async function timed(work: () => Promise<unknown>): Promise<Result> {
  const started = performance.now()
  await work()
  return { seconds: (performance.now() - started) / 1000, peakBytes: process.resourceUsage().maxRSS * 1024 }
}

/** In a child: one thing, once. Converting loads no addon. */
async function runTask(task: Task, path: string, target: string): Promise<Result> {
  if (task === 'convert')
    return timed(() =>
      convertCheckpoint(path, target, { to: 'diffusers_safetensors', precision: 'fp16', overwrite: true }),
    )
  const { loadLdmCheckpoint } = await import('../lib/checkpoints/loadLdmCheckpoint.ts')
  if (task === 'load') return timed(() => loadLdmCheckpoint(path))
  const { saveLdmCheckpoint } = await import('../lib/checkpoints/saveLdmCheckpoint.ts')
  const { models } = await loadLdmCheckpoint(path)
  return timed(() => saveLdmCheckpoint(target, models))
}

function child(program: string, args: readonly string[]): Result {
  const { stdout, status, stderr } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 26 })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}:\n${stderr}`)
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Result
}

function compare(python: string | undefined): void {
  const folder = mkdtempSync(join(tmpdir(), 'noisewright-bench-'))
  const path = join(folder, 'model.safetensors')
  const here = fileURLToPath(import.meta.url)
  const yardstick = join(packageRoot(), 'benchmarks', 'yardsticks', 'checkpoints.py')
  try {
    child(process.execPath, [here, '--make', path])
    console.log(`${'task'.padEnd(30)} ${'noisewright'.padEnd(24)} ${python === undefined ? '' : 'Python'}`)
    for (const task of tasks) {
      const target = join(folder, task === 'save' ? 'saved.safetensors' : 'converted')
      const best = (program: string, args: readonly string[]): string => {
        const runs = [1, 2].map(() => {
          rmSync(target, { recursive: true, force: true })
          return child(program, [...args, task, path, target])
        })
        const { seconds } = runs.reduce((a, b) => (b.seconds < a.seconds ? b : a))
        const peak = Math.max(...runs.map(({ peakBytes }) => peakBytes))
        return `${seconds.toFixed(2).padStart(6)} s ${(peak / 2 ** 20).toFixed(0).padStart(7)} MiB     `
      }
      const ours = best(process.execPath, [here, '--task'])
      const theirs = python === undefined ? '' : best(python, [yardstick])
      console.log(`${descriptions[task].padEnd(30)} ${ours} ${theirs}`)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const [mode, ...args] = process.argv.slice(2)
if (mode === '--make') {
  await makeCheckpoint(args[0]!)
  console.log('{}')
} else if (mode === '--task') {
  const [task, path, target] = args as [Task, string, string]
  console.log(JSON.stringify(await runTask(task, path, target)))
  process.exit(0)
} else compare(mode)
