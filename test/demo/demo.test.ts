import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { demoSeeds, prepareDemo } from '../../lib/demo/demo.ts'
import { type DemoMethodName, demoMethods } from '../../lib/demo/methods.ts'
import { readPromptFile } from '../../lib/preview/promptFile.ts'
import { parseTraining } from '../../lib/train/options/parseTraining.ts'
import { loadTrainingData } from '../../lib/train/trainingData.ts'
import { trainings } from '../../lib/train/trainings.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noisewright-demo-'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('prepareDemo', () => {
  it.each(Object.keys(demoMethods) as DemoMethodName[])(
    'writes data and options that %s can train with',
    async (method) => {
      const { trainer, configFile, prompts } = await prepareDemo(join(folder, method), { method, steps: 7 })
      const { config, notes } = await parseTraining(trainer, ['--config_file', configFile])
      expect(notes).toEqual([])
      expect(config.model.path).toBe('miniature')
      expect(config.training.maxSteps).toBe(7)
      expect(config.preview.everySteps).toBe(7)
      const group = await loadTrainingData(config, { seed: 1, accepts: trainings[trainer].accepts })
      expect(group.warnings).toEqual([])
      expect(group.regImageCount > 0).toBe(demoMethods[method].remembers && trainer !== 'fine-tune')
      const drawn = await readPromptFile(config.preview.promptFile!)
      expect(drawn.map(({ prompt }) => prompt)).toEqual(prompts.flatMap(({ prompt }) => demoSeeds.map(() => prompt)))
      expect(drawn.slice(0, demoSeeds.length).map(({ seed }) => seed)).toEqual(demoSeeds)
      expect(prompts.some(({ example }) => example !== null)).toBe(true)
    },
  )

  it('writes the same pictures every time', async () => {
    const pictureOf = async (name: string): Promise<Buffer> => {
      const { prompts } = await prepareDemo(join(folder, name))
      return readFile(prompts[0]!.example!)
    }
    expect((await pictureOf('a')).equals(await pictureOf('b'))).toBe(true)
  })
})
