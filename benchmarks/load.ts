/**
 * `npm run bench -- load`: how long a model of Stable Diffusion 1.5's sizes takes to load and to save, beside reading and writing as many
 * bytes, and the memory it takes. Every measurement has a process of its own; the files, random weights, are in the page cache.
 */
import { closeSync, fstatSync, fsyncSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KeyedFile } from '../lib/checkpoints/keyedFile.ts'
import { PartPlan } from '../lib/checkpoints/partPlan.ts'
import { readPlan } from '../lib/checkpoints/readPlan.ts'
import { openSafetensors, type SafetensorsTensor, writeSafetensors } from '../lib/io/safetensors.ts'
import { ClipTextModel } from '../lib/models/clip/textModel.ts'
import { sd1 } from '../lib/models/stableDiffusion/config.ts'
import { parameterShapes } from '../lib/models/stableDiffusion/parameterShapes.ts'
import { UNet } from '../lib/models/stableDiffusion/unet.ts'
import { Vae } from '../lib/models/stableDiffusion/vae.ts'
import { fileShape, type Model, type ParameterRecord, type WeightSource } from '../lib/nn/weights.ts'
import { storeParameter } from '../lib/ops/storeParameter.ts'
import { randomUniform } from '../lib/tensor/create.ts'
import { settle } from './harness.ts'

export interface LoadMeasurement {
  readonly seconds: number
  /** Of the file. */
  readonly bytes: number
  /** Highest resident memory of the process, and what of it was there before. */
  readonly peakBytes: number
  readonly startBytes: number
}

type FileType = 'F32' | 'F16'
const tasks = ['save', 'write', 'read', 'readFresh', 'load'] as const
type Task = (typeof tasks)[number]

const parts = ['unet', 'textEncoder', 'vae'] as const

/** The three networks, whose weights a source gives by the part's name before the parameter's. */
function models(source: WeightSource): Readonly<Record<(typeof parts)[number], Model>> {
  const of =
    (part: string): WeightSource =>
    (request) =>
      source({ ...request, name: `${part}.${request.name}` })
  return {
    unet: new UNet(sd1.unet, of('unet')),
    textEncoder: new ClipTextModel(sd1.textEncoder, of('textEncoder')),
    vae: new Vae(sd1.vae, of('vae')),
  }
}

function entry(part: string, record: ParameterRecord, type: FileType): SafetensorsTensor {
  return {
    name: `${part}.${record.name}`,
    dtype: type,
    shape: fileShape(record.shape, record.layout),
    async data() {
      const layout = record.layout === 'conv' ? 'conv' : 'same'
      const packed = storeParameter(record.tensor, { layout, dtype: type === 'F32' ? 'float32' : 'float16' })
      const { buffer, byteOffset, byteLength } = await packed.read()
      packed.dispose()
      return new Uint8Array(buffer, byteOffset, byteLength)
    },
  }
}

function readThrough(path: string, bufferFor: (size: number) => Uint8Array): number {
  const descriptor = openSync(path, 'r')
  const { size } = fstatSync(descriptor)
  const piece = 1 << 24
  for (let at = 0; at < size; at += piece) {
    const length = Math.min(piece, size - at)
    readSync(descriptor, bufferFor(length), 0, length, at)
  }
  closeSync(descriptor)
  return size
}

/** In a child process: does one thing with a file once. */
export async function loadTask(task: Task, path: string, type: FileType): Promise<LoadMeasurement> {
  let seed = 1
  const random: WeightSource = ({ shape }) => randomUniform(shape, { seed: seed++, low: -0.1, high: 0.1 })
  const saved = task === 'save' ? models(random) : null
  await settle()
  const startBytes = process.memoryUsage().rss
  const started = performance.now()
  let bytes = 0
  if (saved) {
    const entries = parts.flatMap((part) =>
      [...saved[part].registry.parameters.values()].map((record) => entry(part, record, type)),
    )
    bytes = await writeSafetensors(path, entries)
  } else if (task === 'load') {
    const file = await openSafetensors(path)
    const requests = parts.flatMap((part) =>
      parameterShapes(part, sd1).map((parameter) => ({ ...parameter, name: `${part}.${parameter.name}` })),
    )
    const problems: string[] = []
    const plan = new PartPlan(new KeyedFile(file), requests, (key) => [{ key, third: null }], problems)
    if (problems.length > 0) throw new Error(problems.join('; '))
    models(await readPlan(plan))
    await settle()
    await file.close()
  } else if (task === 'write') {
    bytes = writeAsMany(path)
  } else if (task === 'read') {
    const buffer = new Uint8Array(1 << 24)
    readThrough(path, () => buffer)
  } else {
    const kept: Uint8Array[] = []
    readThrough(path, (size) => {
      kept.push(Buffer.allocUnsafeSlow(size))
      return kept.at(-1)!
    })
  }
  const seconds = (performance.now() - started) / 1000
  if (bytes === 0) {
    const descriptor = openSync(path, 'r')
    bytes = fstatSync(descriptor).size
    closeSync(descriptor)
  }
  return { seconds, bytes, startBytes, peakBytes: process.resourceUsage().maxRSS * 1024 }
}

/** Zeros beside a file, as many as it has bytes, flushed to the disk. */
function writeAsMany(path: string): number {
  const size = readThrough(path, (length) => scratch.subarray(0, length))
  scratch.fill(0)
  const descriptor = openSync(`${path}.zeros`, 'w')
  for (let at = 0; at < size; at += scratch.length)
    writeSync(descriptor, scratch, 0, Math.min(scratch.length, size - at))
  fsyncSync(descriptor)
  closeSync(descriptor)
  rmSync(`${path}.zeros`)
  return size
}

const scratch = new Uint8Array(1 << 24)

const descriptions: Readonly<Record<Task, string>> = {
  save: 'our save',
  write: 'write as many zeros',
  read: 'read into one buffer',
  readFresh: 'read into fresh memory',
  load: 'our load',
}

const number = (value: number, digits: number, width: number): string => value.toFixed(digits).padStart(width)

/** @param measure runs `loadTask` in a child process */
export async function runLoad(
  measure: (task: Task, path: string, type: FileType) => Promise<LoadMeasurement>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'noisewright-bench-'))
  try {
    console.log(`${'file and task'.padEnd(30)}        s    GB/s   of read   peak MiB   of it before`)
    for (const type of ['F32', 'F16'] as const) {
      const path = join(folder, `${type}.safetensors`)
      let readSeconds = Number.NaN
      for (const task of tasks) {
        // A file once; what is quick, thrice, of which the fastest counts.
        const runs: LoadMeasurement[] = []
        for (let i = 0; i < (task === 'save' || task === 'write' ? 1 : 3); i++)
          runs.push(await measure(task, path, type))
        const best = runs.reduce((a, b) => (b.seconds < a.seconds ? b : a))
        if (task === 'read') readSeconds = best.seconds
        const ratio = task === 'load' || task === 'readFresh' ? number(best.seconds / readSeconds, 2, 8) : ' '.repeat(8)
        console.log(
          `${`${type}: ${descriptions[task]}`.padEnd(30)} ${number(best.seconds, 2, 8)} ${number(best.bytes / best.seconds / 1e9, 2, 7)}  ` +
            `${ratio} ${number(best.peakBytes / 2 ** 20, 0, 10)} ${number(best.startBytes / 2 ** 20, 0, 14)}`,
        )
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
