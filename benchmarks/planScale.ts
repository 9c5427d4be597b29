/**
 * `npm run bench -- plan-scale [count ...]`: the command `plan` over folders of 1,000, 10,000 and 100,000 pictures with captions: the first time,
 * when every file is opened, and the best of three further times, when the notes about the folder serve; and what the steps of the same
 * take for each picture, which must not grow with their number. Build the package first.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { resolveDatasetConfig } from '../lib/config/datasetConfig.ts'
import { epochBatches, readBatches } from '../lib/data/batches.ts'
import { loadDatasetGroup } from '../lib/data/datasetGroup.ts'
import { planEpoch } from '../lib/data/epochPlan.ts'
import { encodePng } from '../lib/preview/png.ts'
import { packageRoot } from '../lib/util/packageRoot.ts'

const words = '1girl, solo, long hair, blue eyes, smile, white shirt, outdoors, sky, cloud, frog'.split(', ')

/** Noise-free pictures of five shapes, each with some ten tags beside it. */
async function makeFolder(folder: string, count: number): Promise<void> {
  mkdirSync(folder)
  const shapes = [
    [64, 64],
    [96, 64],
    [64, 96],
    [120, 60],
    [72, 80],
  ] as const
  const pictures = await Promise.all(
    shapes.map(([width, height]) => encodePng({ width, height, pixels: new Uint8Array(width * height * 3) })),
  )
  for (let i = 0; i < count; i++) {
    const name = join(folder, String(i).padStart(7, '0'))
    writeFileSync(`${name}.png`, pictures[i % pictures.length]!)
    writeFileSync(
      `${name}.txt`,
      `${words.map((_, k) => words[(i * 7 + k * 3) % words.length]).join(', ')}, number ${i}`,
    )
  }
}

/** Seconds that the whole command takes, in a process from its start. */
function plan(folder: string, cache: string): number {
  const program = join(packageRoot(), 'dist', 'cli', 'main.js')
  const buckets = ['--enable_bucket', '--resolution', '64', '--min_bucket_reso', '32', '--max_bucket_reso', '128']
  const args = ['plan', '--json', '--train_data_dir', folder, '--caption_extension', '.txt', ...buckets]
  const started = performance.now()
  const { status } = spawnSync(process.execPath, [program, ...args, '--bucket_reso_steps', '16'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, XDG_CACHE_HOME: cache },
  })
  if (status !== 0) throw new Error(`plan ended with ${status}`)
  return (performance.now() - started) / 1000
}

/** Microseconds for each picture. */
interface Steps {
  /** Looking at the folder with the notes of an earlier look. */
  readonly scan: number
  /** Making the order of an epoch. */
  readonly order: number
  /** Drawing crops and captions of all of it. */
  readonly draw: number
  /** Decoding, resizing and cropping; of some pictures. */
  readonly load: number
}

/** In a child. */
async function steps(folder: string, scanCache: string): Promise<Steps> {
  const buckets = { enable_bucket: true, min_bucket_reso: 32, max_bucket_reso: 128, bucket_reso_steps: 16 }
  const subset = { image_dir: folder, caption_extension: '.txt', shuffle_caption: true }
  const config = await resolveDatasetConfig({
    datasets: [{ resolution: 64, batch_size: 4, ...buckets, subsets: [subset] }],
  })
  const time = async (work: () => unknown): Promise<number> => {
    const started = performance.now()
    await work()
    return (performance.now() - started) * 1000
  }
  let group = await loadDatasetGroup({ config }, { seed: 1, scan: { scanCache } })
  const scan = await time(async () => {
    group = await loadDatasetGroup({ config }, { seed: 1, scan: { scanCache } })
  })
  const order = await time(() => planEpoch(group, 1))
  const draw = await time(() => [...epochBatches(group, 2)].length)
  let loaded = 0
  const load = await time(async () => {
    for await (const { items } of readBatches(group, 1)) {
      loaded += items.length
      if (loaded >= 500) break
    }
  })
  const count = group.trainImageCount
  return { scan: scan / count, order: order / count, draw: draw / count, load: load / loaded }
}

function stepsInChild(folder: string, cache: string): Steps {
  const args = [fileURLToPath(import.meta.url), '--steps', folder, cache]
  const { stdout, status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`the steps ended with ${status}: ${stderr}`)
  return JSON.parse(stdout) as Steps
}

async function compare(counts: readonly number[]): Promise<void> {
  console.log('                               for each picture, in microseconds')
  console.log('  pictures   first s  second s      scan     order      draw      load')
  for (const count of counts) {
    const root = mkdtempSync(join(tmpdir(), 'noisewright-plan-'))
    try {
      const [data, cache] = [join(root, 'data'), join(root, 'cache')]
      mkdirSync(data)
      const folder = join(data, '1_thing')
      await makeFolder(folder, count)
      // Files changed a moment ago are not noted.
      await setTimeout(2500)
      const first = plan(data, cache)
      const second = Math.min(...Array.from({ length: 3 }, () => plan(data, cache)))
      const { scan, order, draw, load } = stepsInChild(folder, join(cache, 'noisewright', 'scan'))
      const seconds = [first, second].map((value) => value.toFixed(2))
      const cells = [String(count), ...seconds, ...[scan, order, draw, load].map((value) => value.toFixed(1))]
      console.log(cells.map((cell) => cell.padStart(10)).join(''))
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  }
}

const [mode, ...others] = process.argv.slice(2)
if (mode === '--steps') console.log(JSON.stringify(await steps(others[0]!, others[1]!)))
else await compare(mode === undefined ? [1_000, 10_000, 100_000] : [mode, ...others].map(Number))
