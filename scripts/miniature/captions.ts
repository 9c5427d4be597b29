/** What the miniature learns its pictures by: their Unicode names, said in a few ways. */
import { type Emoji, withArticle } from '../../lib/demo/emoji.ts'

/**
 * Captions of a picture, one of which is drawn at each step.
 * @param colour of the picture, by `colourOf`; null: none stands out
 */
export function captionsOf({ name, group }: Emoji, colour: string | null): string[] {
  const theme = group.toLowerCase().replaceAll(' & ', ' and ')
  const captions = [name, withArticle(name), `a 3d emoji of ${withArticle(name)}`, `${name}, ${theme}`]
  const tells = colour !== null && !name.toLowerCase().includes(colour)
  return tells ? [...captions, `${colour} ${name}`, `a 3d emoji of ${withArticle(`${colour} ${name}`)}`] : captions
}

/** Hues in degrees up to which a word is used. */
const hues = [
  [15, 'red'],
  [32, 'orange'],
  [68, 'yellow'],
  [165, 'green'],
  [195, 'turquoise'],
  [255, 'blue'],
  [290, 'purple'],
  [345, 'pink'],
  [360, 'red'],
] as const
/** Share of what is drawn that a colour must have for its word to be said. */
const majority = 0.5

/**
 * The colour that most of what is drawn has.
 * @param pixels RGB of a picture on white
 */
export function colourOf(pixels: Uint8Array): string | null {
  const counts = new Map<string, number>()
  let drawn = 0
  for (let i = 0; i < pixels.length; i += 3) {
    const word = colourOfPixel(pixels[i]!, pixels[i + 1]!, pixels[i + 2]!)
    if (word === 'white') continue
    drawn++
    counts.set(word, (counts.get(word) ?? 0) + 1)
  }
  const most = [...counts].sort(([, a], [, b]) => b - a)[0]
  return most !== undefined && most[1] >= majority * drawn ? most[0] : null
}

function colourOfPixel(red: number, green: number, blue: number): string {
  const [most, least] = [Math.max(red, green, blue), Math.min(red, green, blue)]
  const spread = most - least
  if (least > 235) return 'white'
  if (spread < 30) return most < 70 ? 'black' : 'grey'
  const sector =
    most === red ? (green - blue) / spread : most === green ? 2 + (blue - red) / spread : 4 + (red - green) / spread
  const hue = (sector * 60 + 360) % 360
  const word = hues.find(([end]) => hue < end)![1]
  return (word === 'orange' || word === 'red') && most < 150 ? 'brown' : word
}
