/**
 * `npm run bench -- plan-scale [count ...]`: the command `plan` over folders of 1,000, 10,000 and 100,000 pictures with captions: the first time,
 * when every file is opened, and the best of three further times, when the notes about the folder serve. Build the package first.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
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

const counts = process.argv.slice(2).map(Number)
console.log('  pictures   first s  second s')
for (const count of counts.length > 0 ? counts : [1_000, 10_000, 100_000]) {
  const root = mkdtempSync(join(tmpdir(), 'noisewright-plan-'))
  try {
    const [data, cache] = [join(root, 'data'), join(root, 'cache')]
    mkdirSync(data)
    await makeFolder(join(data, '1_thing'), count)
    // Files changed a moment ago are not noted.
    await setTimeout(2500)
    const first = plan(data, cache)
    const second = Math.min(...Array.from({ length: 3 }, () => plan(data, cache)))
    console.log([String(count), first.toFixed(2), second.toFixed(2)].map((cell) => cell.padStart(10)).join(''))
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}
