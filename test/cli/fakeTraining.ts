import type { Train } from '../../lib/cli/showTraining.ts'
import type { TrainEvent } from '../../lib/train/events.ts'
import type { TrainConfig } from '../../lib/train/trainConfig.ts'

/** The events of a training of two epochs of two steps, without a model. It heeds the signal after each step. */
export async function* fakeEvents(signal?: AbortSignal): AsyncGenerator<TrainEvent> {
  yield { type: 'warning', message: 'two pictures have no caption' }
  yield {
    type: 'start',
    seed: 7,
    totalSteps: 4,
    epochCount: 2,
    batchesPerEpoch: 2,
    trainImageCount: 8,
    regImageCount: 0,
    trainableParameters: 12345,
    moduleCount: 264,
    report: ['dataset 0'],
  }
  for (const done of [1, 2]) yield { type: 'cache', what: 'pictures', done, total: 2, reused: 0, perSecond: 4 }
  let step = 0
  let epoch = 0
  while (step < 4 && !signal?.aborted) {
    epoch++
    yield { type: 'epoch', epoch, epochCount: 2 }
    do {
      step++
      yield {
        type: 'step',
        step,
        totalSteps: 4,
        epoch,
        loss: 1 / step,
        averageLoss: 2 / step,
        learningRates: { textencoder: 5e-5, unet: 1e-4 },
        effectiveLearningRates: null,
        gradientNorm: 1,
        skippedSteps: 0,
        stepsPerSecond: 0.5,
      }
    } while (step % 2 !== 0 && !signal?.aborted)
    yield { type: 'epochEnd', epoch, averageLoss: 2 / step }
  }
  const reason = signal?.aborted ? 'interrupted' : 'finished'
  yield { type: 'save', path: 'out/last.safetensors', step, epoch, bytes: 1536 }
  if (reason === 'finished') yield { type: 'preview', path: 'out/sample/a.png', prompt: 'a frog', step, epoch }
  yield { type: 'end', reason, step, path: 'out/last.safetensors' }
}

/** A trainer that trains nothing, and the configurations it was called with. */
export function fakeTrain(): { readonly train: Train; readonly configs: readonly TrainConfig[] } {
  const configs: TrainConfig[] = []
  const train: Train = (_kind, config, { signal }) => {
    configs.push(config)
    return fakeEvents(signal)
  }
  return { train, configs }
}
