/**
 * `npm run bench -- look-alikes [count ...]`: finding look-alikes among 10,000 and 100,000 looks of four kinds: noise, soft shapes, small
 * things on white, and frames of 100 scenes that differ in noise. Shows the time of the processor, the pairs found, and for how long nothing else had its
 * turn. Looks are made up; decoding the pictures of a data set takes far longer.
 */
import { setInterval } from 'node:timers'
import { findAlike } from '../lib/debugDataset/lookSearch.ts'
import { hashOf, type Look } from '../lib/debugDataset/similarPictures.ts'
import { PhiloxStream } from '../lib/util/philox.ts'

const side = 9
const clamp = (value: number): number => Math.max(0, Math.min(255, value))

const kinds: Readonly<Record<string, (random: PhiloxStream, index: number) => Uint8Array>> = {
  noise: (random) => Uint8Array.from({ length: side * side }, () => random.integer(256)),
  shapes(random) {
    const [level, across, down, wave, waves] = [200, 100, 100, 50, 6].map((most) => random.float() * most)
    return Uint8Array.from({ length: side * side }, (_, i) => {
      const [x, y] = [(i % side) / 8, Math.floor(i / side) / 8]
      return clamp(level! + (across! - 50) * x + (down! - 50) * y + wave! * Math.sin(waves! * x + 3 * y))
    })
  },
  'things on white'(random) {
    const grey = new Uint8Array(side * side).fill(255)
    const [size, left, top] = [2 + random.integer(4), random.integer(6), random.integer(6)]
    for (let y = top; y < Math.min(side, top + size); y++)
      for (let x = left; x < Math.min(side, left + size); x++) grey[y * side + x] = random.integer(256)
    return grey
  },
  frames(random, index) {
    const scene = new PhiloxStream(BigInt(index % 100), 'scene', 0, 0)
    return Uint8Array.from({ length: side * side }, () => clamp(scene.integer(250) + random.integer(3)))
  },
}

async function measure(kind: string, count: number): Promise<string> {
  const random = new PhiloxStream(1n, 'looks', 0, 0)
  const looks = Array.from({ length: count }, (_, index): Look => {
    const grey = kinds[kind]!(random, index)
    return { ratio: 1, grey, hash: hashOf(grey) }
  })
  let [longest, last] = [0, performance.now()]
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
  }, 1)
  const started = process.cpuUsage()
  const found = await findAlike(looks)
  const seconds = process.cpuUsage(started).user / 1e6
  clearInterval(timer)
  const pairs = [...found.values()].reduce((sum, alike) => sum + alike.count, 0) / 2
  return `${kind.padEnd(16)} ${String(count).padStart(8)} ${seconds.toFixed(2).padStart(8)} s ${String(pairs).padStart(10)} pairs, longest turn ${longest.toFixed(0)} ms`
}

const counts = process.argv.slice(2).map(Number)
for (const count of counts.length > 0 ? counts : [10_000, 100_000])
  for (const kind of Object.keys(kinds)) process.stdout.write(`${await measure(kind, count)}\n`)
