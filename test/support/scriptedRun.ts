/** A training of the page's tests: its events one after the other, as the test asks for them. */
import { join } from 'node:path'
import { writePng } from '../../lib/preview/png.ts'
import type { StartEvent, StepEvent, TrainEvent } from '../../lib/train/events.ts'
import { makeFolder } from './pictures.ts'

export const hostilePrompt = '</script><img src=x onerror="document.title=1"> a frog'

export const prompts = ['a frog on a leaf, watercolour', hostilePrompt, 'a very_long_tag_without_any_blank_'.repeat(4)]

export function startEvent(totalSteps: number): StartEvent {
  return {
    type: 'start',
    seed: 7,
    totalSteps,
    epochCount: 4,
    batchesPerEpoch: totalSteps / 4,
    trainImageCount: 8,
    regImageCount: 0,
    trainableParameters: 1_234_567,
    moduleCount: 264,
    report: ['dataset 0: 8 pictures', 'bucket 512x512: 8 pictures'],
  }
}

export function stepEvent(step: number, totalSteps: number): StepEvent {
  const epoch = Math.ceil((4 * step) / totalSteps)
  const loss = 0.08 + 0.1 / Math.sqrt(step) + 0.03 * Math.sin(step * 12.9898)
  const warm = Math.min(1, step / 50)
  return {
    type: 'step',
    step,
    totalSteps,
    epoch,
    loss,
    averageLoss: 0.08 + 0.1 / Math.sqrt(step),
    learningRates: { textencoder: 5e-5 * warm, unet: 1e-4 * warm },
    effectiveLearningRates: null,
    gradientNorm: 1 + Math.cos(step) ** 2,
    skippedSteps: 0,
    stepsPerSecond: 2,
    memory: { processBytes: 3.2e9 + 1e6 * step, liveBytes: 2e9 + 1e8 * Math.sin(step), peakBytes: 2.4e9 },
  }
}

/** The previews of a step, in files of a folder of their own: one colour for each prompt and step. */
export async function previewEvents(step: number, epoch: number): Promise<TrainEvent[]> {
  const folder = await makeFolder()
  return Promise.all(
    prompts.map(async (prompt, promptIndex) => {
      const path = join(folder, `${promptIndex}.png`)
      const pixels = new Uint8Array(32 * 32 * 3).map((_, i) => [step % 256, 60 * promptIndex, i % 255][i % 3]!)
      await writePng(path, { width: 32, height: 32, pixels })
      return { type: 'preview', path, prompt, promptIndex, seed: 100 + promptIndex, step, epoch }
    }),
  )
}
