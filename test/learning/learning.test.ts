/** Every method teaches the miniature, in few steps and by loose margins: `npm run test:soak -- learning` has the real ones. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type BindLesson, bindWord, fineTuneFlags, type LessonResult } from '../../scripts/learning/lessons.ts'

let folder: string
beforeAll(async () => {
  vi.spyOn(console, 'log').mockImplementation(() => {})
  folder = await mkdtemp(join(tmpdir(), 'noisewright-learning-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** Every row whose measure has not fallen as far as it must. */
const missed = ({ rows }: LessonResult): unknown[] =>
  rows.filter(({ before, after, limit }) => !(after <= limit * before))

describe('the miniature', { timeout: 240_000 }, () => {
  it.each<BindLesson>([
    { method: 'lora', steps: 60, drawn: 2, limits: { distance: 0.8, drift: 1 } },
    { method: 'textual-inversion', steps: 60, drawn: 2, limits: { distance: 0.9, drift: null } },
  ])('learns a word for a new picture by $method', async (lesson) => {
    expect(missed(await bindWord(lesson, folder))).toEqual([])
  })

  it('learns the names of flags by fine-tuning', async () => {
    expect(missed(await fineTuneFlags({ steps: 60, limit: 0.98 }, folder))).toEqual([])
  })
})
