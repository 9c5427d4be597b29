/** Draws with the miniature and measures: reconstruction, the nearest picture of 200 names, contact sheets to be looked at. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import {
  contactSheet,
  loadClipTokenizer,
  loadStableDiffusion,
  noGrad,
  PhiloxStream,
  type RgbImage,
  type StableDiffusion,
  samplePicture,
  scope,
  sliceChannels,
  sub,
  writePng,
} from 'noisewright'
import { type Pictures, pixelsOf } from './autoencoder.ts'
import { rankOf, smallPictures } from './nearest.ts'
import { drawAll, knownEmoji } from './pictures.ts'
import { pictureSize } from './sizes.ts'

const model = process.argv[2] ?? 'miniature'
const folder = resolve(process.argv[3] ?? 'out/miniature/evaluation')
const nameCount = Number(process.argv[4] ?? 200)
/** None of these is a caption of the training. */
const combinations = [
  ...['blue apple', 'green banana', 'purple dog', 'red cat', 'blue pizza', 'pink frog', 'green sun', 'yellow rose'],
  ...[
    'red whale',
    'black balloon',
    'purple tree',
    'blue fox',
    'green bear',
    'orange octopus',
    'pink car',
    'white crab',
  ],
  ...['a red moon', 'a blue tomato', 'a green lion', 'a yellow umbrella', 'a purple bicycle', 'a red cloud'],
  ...['cat with sunglasses', 'dog with hearts', 'apple face', 'angry cat face', 'robot with a hat', 'cow on the moon'],
  ...['smiling star', 'a frog and a heart'],
]

await mkdir(folder, { recursive: true })
const emoji = await knownEmoji()
const known = await drawAll(emoji)
const { models } = await loadStableDiffusion(model)
const tokenizer = await loadClipTokenizer()

console.log(
  `reconstruction: mean absolute error ${(await reconstructionError(models.vae, known)).toFixed(4)} (range -1 to 1)`,
)

const indices = new PhiloxStream(1, 'names').shuffle(emoji.map((_, i) => i)).slice(0, nameCount)
const small = smallPictures(known)
const rows: RgbImage[] = []
const ranks: { readonly name: string; readonly rank: number }[] = []
for (const [n, index] of indices.entries()) {
  const drawn = await draw(emoji[index]!.name, n)
  const rank = rankOf(drawn, index, small)
  ranks.push({ name: emoji[index]!.name, rank })
  rows.push(pictureAt(known, index), drawn)
}
const share = (most: number): string =>
  `${((100 * ranks.filter(({ rank }) => rank <= most).length) / ranks.length).toFixed(1)} %`
console.log(
  `of ${ranks.length} names, the named picture is the nearest of ${known.count}: ${share(1)}; among the nearest five: ${share(5)}`,
)
const missed = ranks.filter(({ rank }) => rank > 5).map(({ name, rank }) => `${name} (${rank})`)
console.log(`not among five: ${missed.join(', ')}`)
await writePng(join(folder, 'names.png'), contactSheet(inRows(rows, 20)))
await writeFile(join(folder, 'ranks.json'), `${JSON.stringify(ranks, null, 1)}\n`)

const unseen: RgbImage[] = []
for (const [n, prompt] of combinations.entries()) unseen.push(await draw(prompt, n))
await writePng(join(folder, 'combinations.png'), contactSheet(inRows(unseen, 8)))
models.dispose()

async function draw(prompt: string, seed: number): Promise<RgbImage> {
  const size = { width: pictureSize, height: pictureSize }
  return samplePicture(models, tokenizer, { prompt, negativePrompt: '', ...size, steps: 30, scale: 4 }, { seed })
}

async function reconstructionError(vae: StableDiffusion['vae'], pictures: Pictures): Promise<number> {
  let [sum, count] = [0, 0]
  for (let first = 0; first < pictures.count; first += 32) {
    const batch = Array.from({ length: Math.min(32, pictures.count - first) }, (_, i) => first + i)
    const difference = noGrad(() =>
      scope(() => {
        const pixels = pixelsOf(pictures, batch)
        const means = sliceChannels(vae.encode(pixels), { start: 0, end: vae.config.latentChannels })
        return sub(vae.decode(means), pixels)
      }),
    )
    const values = (await difference.read()) as Float32Array
    difference.dispose()
    for (const value of values) sum += Math.abs(value)
    count += values.length
  }
  return sum / count
}

function pictureAt({ size, pixels }: Pictures, index: number): RgbImage {
  const bytes = size * size * 3
  return { width: size, height: size, pixels: pixels.slice(index * bytes, (index + 1) * bytes) }
}

function inRows(pictures: readonly RgbImage[], columns: number): RgbImage[][] {
  const count = Math.ceil(pictures.length / columns)
  return Array.from({ length: count }, (_, row) => pictures.slice(row * columns, (row + 1) * columns))
}
