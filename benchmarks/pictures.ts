/**
 * `npm run bench -- pictures [python] [folder]`: pictures of 12 megapixels decoded, resized by area, cropped to 512x512 and made tensors, on
 * two threads, and the same by Pillow and OpenCV in two processes when the path of an interpreter with both is given. The pictures are
 * those of a folder, or made on the spot: JPEGs, JPEGs that are to be turned, PNGs and WebPs. Both take turns; the best of three runs counts.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import sharp, { type Sharp } from 'sharp'
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
const rounds = 6

interface Result {
  readonly picturesPerSecond: number
  /** Of the processor, for each picture. */
  readonly cpuMs: number
  /** Longest that the event loop was held up, ms. */
  readonly longestDelay?: number
}

interface Kind {
  readonly folder: string
  readonly pictures: number
  readonly encode: (picture: Sharp) => Sharp
}

const kinds: Readonly<Record<string, Kind>> = {
  JPEG: { folder: 'jpeg', pictures: 4, encode: (picture) => picture.jpeg({ quality: 90 }) },
  'JPEG on its side': {
    folder: 'turned',
    pictures: 2,
    encode: (picture) => picture.withMetadata({ orientation: 6 }).jpeg({ quality: 90 }),
  },
  PNG: { folder: 'png', pictures: 2, encode: (picture) => picture.png({ compressionLevel: 2 }) },
  WebP: { folder: 'webp', pictures: 2, encode: (picture) => picture.webp({ quality: 90, effort: 1 }) },
}

/** Noise at four scales: edges and texture, about as many bytes as a photograph. */
async function makePictures(folder: string): Promise<void> {
  const [width, height] = [4000, 3000]
  for (const { folder: name } of Object.values(kinds)) mkdirSync(join(folder, name))
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
    const picture = await sharp(base)
      .composite(others.map((input) => ({ input, blend: 'soft-light' })))
      .removeAlpha()
      .raw()
      .toBuffer()
    for (const { folder: name, pictures, encode } of Object.values(kinds))
      if (i < pictures)
        await encode(sharp(picture, { raw: { width, height, channels: 3 } })).toFile(join(folder, name, String(i)))
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
  const epochs = Array.from({ length: rounds }, () => paths).flat()
  await mapLimited(epochs, threads, load)
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

/** The best of three runs of each contender on the pictures of a folder. */
function measure(python: string | undefined, folder: string): Map<string, Result> {
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
    for (const [name, contend] of Object.entries(contenders)) {
      const result = contend()
      const best = bests.get(name)
      if (best === undefined || result.picturesPerSecond > best.picturesPerSecond) bests.set(name, result)
    }
  return bests
}

function compare(python: string | undefined, folders: Readonly<Record<string, string>>): void {
  console.log(
    `${'12 megapixels to 512x512'.padEnd(36)} pictures/s  ms of CPU each  longest delay of the event loop, ms`,
  )
  for (const [kind, folder] of Object.entries(folders))
    for (const [name, { picturesPerSecond, cpuMs, longestDelay }] of measure(python, folder))
      console.log(
        `${`${kind}, ${name}`.padEnd(36)} ${picturesPerSecond.toFixed(1).padStart(10)} ${cpuMs.toFixed(1).padStart(15)}  ${longestDelay?.toFixed(1) ?? ''}`,
      )
}

async function compareMade(python: string | undefined): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'noisewright-bench-'))
  try {
    await makePictures(folder)
    compare(python, Object.fromEntries(Object.entries(kinds).map(([name, kind]) => [name, join(folder, kind.folder)])))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const [first, second] = process.argv.slice(2)
if (first === '--load') console.log(JSON.stringify(await loadAll(second!)))
else if (second === undefined) await compareMade(first)
else compare(first, { pictures: second })
