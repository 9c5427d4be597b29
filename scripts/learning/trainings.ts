/** Trainings with the settings that all of the suite share. */

import type { PreviewSource, TrainingKind } from '../../lib/train/method.ts'
import type { TrainConfig } from '../../lib/train/trainConfig.ts'
import { Trainer } from '../../lib/train/trainer.ts'

export interface BaseSettings {
  /** Folder of the model to start from. */
  readonly model: string
  readonly folder: string
  readonly name: string
  readonly steps: number
  readonly learningRate: number
}

/** A configuration without data. */
export function baseConfig({ model, folder, name, steps, learningRate }: BaseSettings): TrainConfig {
  return {
    model: { path: model, v2: false, vParameterization: false, vae: null, clipSkip: null, maxTokenLength: null },
    data: { source: { trainDataDir: '' }, fallbacks: {}, cacheLatents: true, vaeBatchSize: 8, priorLossWeight: 1 },
    optimizer: {
      type: 'AdamW',
      learningRate,
      unetLearningRate: null,
      textEncoderLearningRate: null,
      maxGradNorm: 1,
      scheduler: 'constant',
      warmupSteps: 0,
      schedulerCycles: 1,
      schedulerPower: 1,
    },
    training: {
      maxSteps: steps,
      maxEpochs: null,
      gradientAccumulationSteps: 1,
      gradientCheckpointing: false,
      mixedPrecision: 'no',
      seed: 1,
    },
    output: { folder, name, saveEveryEpochs: null, saveEverySteps: null, savePrecision: null },
    preview: { promptFile: null, everyEpochs: null, everySteps: null },
    logging: { folder: null, prefix: '', trackerName: 'learning' },
  }
}

/** A finished training: the model as its file gives it. */
export interface Trained extends PreviewSource {
  /** Losses on held-out pictures, in the order they were measured. */
  readonly validationLosses: readonly number[]
  dispose(): void
}

/** Trains to the end, with a line about the loss now and then. */
export async function runTraining<Config extends TrainConfig>(
  kind: TrainingKind<Config>,
  config: Config,
  title: string,
): Promise<Trained> {
  const trainer = await Trainer.open(kind, config)
  try {
    const progress = report(title, trainer.plan.totalSteps)
    const validationLosses: number[] = []
    let path: string | null = null
    for await (const event of trainer.run()) {
      if (event.type === 'step') progress(event.step, event.loss)
      else if (event.type === 'validation') validationLosses.push(event.loss)
      else if (event.type === 'end') path = event.path
    }
    const { models, tokenizer, close } = await trainer.method.openPreview(path!)
    const dispose = (): void => {
      close()
      trainer.dispose()
    }
    return { models, tokenizer, close, validationLosses, dispose }
  } catch (error) {
    trainer.dispose()
    throw error
  }
}

/** Prints the mean loss of every tenth of a training, and how long a step takes. */
export function report(title: string, steps: number): (step: number, loss: number) => void {
  const each = Math.max(1, Math.ceil(steps / 10))
  let [sum, count, started] = [0, 0, performance.now()]
  return (step, loss) => {
    sum += loss
    count++
    if (count < each && step < steps) return
    const pace = (performance.now() - started) / count
    console.log(`  ${title}, step ${step} of ${steps}: loss ${(sum / count).toFixed(4)}, ${pace.toFixed(0)} ms a step`)
    ;[sum, count, started] = [0, 0, performance.now()]
  }
}
