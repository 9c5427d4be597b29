import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readDiffusersConfig } from '../../../lib/checkpoints/diffusersConfig.ts'
import { tinySd1 } from '../../../lib/models/stableDiffusion/config.ts'
import { checkNoise } from '../../../lib/train/step/checkNoise.ts'
import type { NoiseConfig } from '../../../lib/train/trainConfig.ts'
import { trainNetwork } from '../../../lib/train/trainings.ts'
import { makeTinyData, saveTinyModel, type TinyOverrides, tinyTraining } from '../../support/tinyTraining.ts'

const noiseModel = { ...tinySd1, predictionType: 'epsilon' } as const
const velocityModel = { ...tinySd1, predictionType: 'v_prediction' } as const

describe('checkNoise', () => {
  it('warns of noise alone for models that predict noise, whatever was given, and for no others', () => {
    expect(checkNoise({ zeroTerminalSnr: true }, noiseModel)).toEqual([
      expect.stringContaining('zero_terminal_snr is for'),
    ])
    expect(checkNoise({ zeroTerminalSnr: true }, velocityModel)).toEqual([])
    expect(checkNoise({}, noiseModel)).toEqual([])
  })

  it('says that a model goes on ending in noise alone only if asked to', async () => {
    const folder = await saveTinyModel(velocityModel)
    const file = join(folder, 'scheduler', 'scheduler_config.json')
    const scheduler = JSON.parse(await readFile(file, 'utf8')) as object
    await writeFile(file, JSON.stringify({ ...scheduler, rescale_betas_zero_snr: true }))
    const config = await readDiffusersConfig(folder)
    expect(config.origin?.notes).toEqual([])
    expect(checkNoise({}, config)).toEqual([expect.stringContaining('give zero_terminal_snr to go on so')])
    expect(checkNoise({ zeroTerminalSnr: true }, config)).toEqual([])
  })

  it('takes what changes nothing, and limits that are the same', () => {
    const idle: NoiseConfig = { noiseOffset: 0, adaptiveNoiseScale: 0.1, minTimestep: 999, maxTimestep: 999 }
    expect(checkNoise(idle, noiseModel)).toEqual([])
  })

  it.each<[NoiseConfig, string]>([
    [{ adaptiveNoiseScale: 0.1 }, 'adaptive_noise_scale needs noise_offset'],
    [{ minTimestep: 500, maxTimestep: 499 }, 'maxTimestep must be a whole number from 500 to 1000, received 499'],
    [{ minTimestep: 1000 }, 'minTimestep must be a whole number from 0 to 999, received 1000'],
  ])('refuses %j', (noise, message) => {
    expect(() => checkNoise(noise, noiseModel)).toThrow(message)
  })
})

it.each<[string, TinyOverrides, string]>([
  ['a hidden state that there is not', { model: { clipSkip: 5 } }, 'clip_skip must be a whole number from 1 to 4'],
  ['a range of timesteps that is none', { noise: { minTimestep: 5, maxTimestep: 4 } }, 'from 5 to 1000, received 4'],
])('a training stops before anything is encoded for %s', async (_what, overrides, message) => {
  const config = await tinyTraining(await saveTinyModel(), await makeTinyData(), overrides)
  const seen: string[] = []
  const run = async (): Promise<void> => {
    for await (const { type } of trainNetwork(config)) seen.push(type)
  }
  await expect(run()).rejects.toThrow(message)
  expect(seen).toEqual([])
})
