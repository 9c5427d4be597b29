/**
 * Trainings teach: every method of the demo has to do its job on the miniature, by stated margins. `node scripts/soak.mjs learning
 * [methods]` compiles and runs it. One run each, always the same; what is made is left in `out/learning`.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { contactSheet } from '../lib/preview/contactSheet.ts'
import { writePng } from '../lib/preview/png.ts'
import { type BindLesson, bindWord, fineTuneFlags, type LessonResult } from './learning/lessons.ts'

const words: readonly BindLesson[] = [
  { method: 'lora', limits: { distance: 0.5, drift: 0.85 } },
  { method: 'dreambooth', limits: { distance: 0.5, drift: 0.85 } },
  { method: 'textual-inversion', limits: { distance: 0.8, drift: null } },
  { method: 'xti', limits: { distance: 0.7, drift: null } },
]
const asked = new Set(process.argv.slice(2))
const isAsked = (name: string): boolean => asked.size === 0 || asked.has(name)

/** Beside the folder that this program was compiled into. */
const folder = fileURLToPath(new URL('../learning', import.meta.url))
const results: LessonResult[] = []
for (const lesson of words) if (isAsked(lesson.method)) results.push(await bindWord(lesson, folder))
if (isAsked('fine-tune')) results.push(await fineTuneFlags({ limit: 0.95 }, folder))
const drawings = results.flatMap((result) => result.drawings)
const sheet = join(folder, 'drawings.png')
if (drawings.length > 0) await writePng(sheet, contactSheet(drawings))

const columns = [36, 52, 8, 8, 8, 8] as const
const print = (...cells: readonly string[]): void =>
  console.log(cells.map((cell, i) => (i < 2 ? cell.padEnd(columns[i]!) : cell.padStart(columns[i]!))).join(''))
print('what', 'measure', 'before', 'after', 'share', 'limit')
const rows = results.flatMap((result) => result.rows)
for (const { name, measure, before, after, limit } of rows)
  print(name, measure, before.toFixed(4), after.toFixed(4), (after / before).toFixed(3), String(limit))
const missed = rows.filter(({ before, after, limit }) => !(after <= limit * before))
if (drawings.length > 0) console.log(`what was drawn is in ${sheet}`)
console.log(
  missed.length === 0
    ? 'every method teaches'
    : `FAILED: ${missed.map(({ name, measure }) => `${name} (${measure})`).join(', ')}`,
)
process.exitCode = missed.length === 0 ? 0 : 1
