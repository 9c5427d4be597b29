/**
 * `npm run bench -- pictures [python] [folder]`: JPEGs of 12 megapixels decoded, resized by area, cropped to 512x512 and made tensors, on two
 * threads, and the same by Pillow and OpenCV in two processes when the path of an interpreter with both is given. The pictures are those
 * of a folder, or made on the spot. Both take turns; the best of three runs counts.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { chooseBucket } from '../lib/data/buckets.ts'
import { planCrop } from '../lib/data/cropPlan.ts'
import { readImageSize } from '../lib/data/imageHeader.ts'
import { loadPicture } from '../lib/data/loadPicture.ts'
import { imageToTensor } from '../lib/ops/imageToTensor.ts'
import { tensor } from '../lib/tensor/create.ts'
import { mapLimited } from '../lib/util/mapLimited.ts'
import { packageRoot } from '../lib/util/packageRoot.ts'
import { settle } from './harness.ts'

const target = { width: 512, height: 512 }
const threads = 2
const rounds = 4

interface Result {
  readonly picturesPerSecond: number
  /** Of the processor, for each picture. */
  readonly cpuMs: number
  /** Longest that the event loop was held up, ms. */
  readonly longestDelay?: number
}

/** Noise at four scales: edges and texture, about as many bytes as a photograph. */
async function makePictures(folder: string): Promise<void> {
  const [width, height] = [4000, 3000]
  for (let i = 0; i < 4; i++) {
    const layers = await Promise.all(
      [3, 12, 60, 400].map((size) =>
        sharp({
          create: {
            width: Math.ceil(width / size),
            height: Math.ceil(height / size),
            channels: 3,
            background: { r: 100 + 20 * i, g: 120, b: 140 },
            noise: { type: 'gaussian', mean: 128, sigma: 60 },
          },
        })
          .resize(width, height, { fit: 'fill', kernel: 'cubic' })
          .png({ compressionLevel: 1 })
          .toBuffer(),
      ),
    )
    const [base, ...others] = layers
    await sharp(base)
      .composite(others.map((input) => ({ input, blend: 'soft-light' })))
      .jpeg({ quality: 90 })
      .toFile(join(folder, `${i}.jpg`))
  }
}

async function loadAll(folder: string): Promise<Result> {
  const paths = readdirSync(folder)
    .sort()
    .map((name) => join(folder, name))
  const load = async (path: string): Promise<void> => {
    const size = await readImageSize(path)
    const plan = planCrop(size, chooseBucket(size, [target]))
    const { pixels } = await loadPicture(path, plan)
    imageToTensor(tensor(pixels, [target.height, target.width, 3]), {}).dispose()
  }
  await mapLimited(paths.slice(0, threads), threads, load)
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const [cpu, started] = [process.cpuUsage(), performance.now()]
  for (let round = 0; round < rounds; round++) await mapLimited(paths, threads, load)
  await settle()
  const seconds = (performance.now() - started) / 1000
  const { user, system } = process.cpuUsage(cpu)
  delay.disable()
  const count = rounds * paths.length
  return { picturesPerSecond: count / seconds, cpuMs: (user + system) / 1000 / count, longestDelay: delay.max / 1e6 }
}

function run(program: string, args: readonly string[]): Result {
  const env = { ...process.env, UV_THREADPOOL_SIZE: String(threads) }
  const { stdout, status, stderr } = spawnSync(program, args, { encoding: 'utf8', env })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed: ${stderr}`)
  return JSON.parse(stdout) as Result
}

async function compare(python: string | undefined, given: string | undefined): Promise<void> {
  const folder = given ?? mkdtempSync(join(tmpdir(), 'noisewright-bench-'))
  try {
    if (given === undefined) await makePictures(folder)
    const yardstick = join(packageRoot(), 'benchmarks', 'yardsticks', 'pictures.py')
    const contenders = {
      noisewright: () => run(process.execPath, [fileURLToPath(import.meta.url), '--load', folder]),
      ...(python !== undefined && {
        'Pillow and OpenCV': () =>
          run(python, [yardstick, folder, String(target.width), String(target.height), String(rounds)]),
      }),
    }
    const bests = new Map<string, Result>()
    for (let turn = 0; turn < 3; turn++)
      for (const [name, measure] of Object.entries(contenders)) {
        const result = measure()
        const best = bests.get(name)
        if (best === undefined || result.picturesPerSecond > best.picturesPerSecond) bests.set(name, result)
      }
    console.log(
      `${'12-megapixel JPEGs to 512x512'.padEnd(32)} pictures/s  ms of CPU each  longest delay of the event loop, ms`,
    )
    for (const [name, { picturesPerSecond, cpuMs, longestDelay }] of bests)
      console.log(
        `${name.padEnd(32)} ${picturesPerSecond.toFixed(1).padStart(10)} ${cpuMs.toFixed(1).padStart(15)}  ${longestDelay?.toFixed(1) ?? ''}`,
      )
  } finally {
    if (given === undefined) rmSync(folder, { recursive: true, force: true })
  }
}

const [first, second] = process.argv.slice(2)
if (first === '--load') console.log(JSON.stringify(await loadAll(second!)))
else await compare(first, second)
