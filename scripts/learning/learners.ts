/** The kinds of training that bind a word to a picture: one row each, with what must come of it. */

import { dreamBooth } from '../../lib/train/methods/dreamBooth.ts'
import { networkTraining } from '../../lib/train/methods/trainNetwork.ts'
import type { TrainConfig } from '../../lib/train/trainConfig.ts'
import { runTraining, type Trained } from './trainings.ts'

export interface Learner {
  readonly name: string
  readonly steps: number
  readonly learningRate: number
  train(config: TrainConfig, title: string): Promise<Trained>
  readonly limits: {
    /** Distance of what the word draws from the picture, as a share of the distance before: at most this. */
    readonly distance: number
    /** Drift of what other captions draw, with regularization pictures as a share of that without: at most this. */
    readonly drift: number
  }
}

export const learners: readonly Learner[] = [
  {
    name: 'train-db',
    steps: 120,
    learningRate: 5e-4,
    train: (config, title) => {
      const options = { stopTextEncoderTraining: null, textEncoderLearningRate: null }
      return runTraining(dreamBooth, { ...config, dreamBooth: options }, title)
    },
    limits: { distance: 0.5, drift: 0.85 },
  },
  {
    name: 'train-network',
    steps: 120,
    learningRate: 5e-3,
    train: (config, title) => {
      const parts = { trainUnet: true, trainTextEncoder: true, trainingComment: null }
      return runTraining(
        networkTraining,
        { ...config, network: { dim: 16, alpha: 16, dropout: null, ...parts } },
        title,
      )
    },
    limits: { distance: 0.5, drift: 0.85 },
  },
]
