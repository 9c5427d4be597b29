/** Steps of a training that are repeated as CUDA graphs. */
import { Recorder, type RefusedStep } from '../../autograd/recorder.ts'
import type { TrainConfig } from '../trainConfig.ts'
import { deviceOf } from '../trainingDevice.ts'
import type { StepMethod } from './trainingStep.ts'

/** What repeats the steps of a training on a GPU, and what there is to say of those that it cannot repeat. */
export class TrainingGraphs {
  /** Null where all steps are called op by op. */
  readonly recorder: Recorder | null
  readonly #said = new Set<string>()
  readonly #messages: string[] = []

  constructor(config: TrainConfig, method: StepMethod) {
    const wanted = deviceOf(config) !== 'cpu' && config.training.noCudaGraphs !== true
    const own = typeof config.loss === 'function' ? 'loss' : method.repeats === true ? null : 'network'
    const why =
      config.training.fusedBackwardPass === true
        ? 'fused_backward_pass steps parameters within the backward pass'
        : own && `a ${own} of your own may compute something else in each step`
    this.recorder =
      wanted && why === null ? new Recorder({ onRefused: (refused) => this.#say(describe(refused)) }) : null
    if (wanted && why !== null) this.#say(why)
  }

  /** Sentences that were not said before. */
  takeMessages(): readonly string[] {
    for (const reason of this.recorder?.report().withoutGraph ?? []) this.#say(reason)
    return this.#messages.splice(0)
  }

  dispose(): void {
    this.recorder?.dispose()
  }

  #say(reason: string): void {
    if (this.#said.has(reason)) return
    this.#said.add(reason)
    this.#messages.push(`CUDA graphs are not used for all steps: ${reason}. Results are the same without them.`)
  }
}

function describe({ op, reason }: RefusedStep): string {
  return `${op} ${reason}`
}
