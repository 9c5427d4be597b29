/** Where a run begins that goes on from no state: at its start, or at a later step or epoch that somebody names. */
import { ConfigError } from '../../util/errors.ts'
import type { RunPosition } from '../state/manifest.ts'
import type { StepPlan } from './schedule.ts'

/**
 * A later beginning, as `--initial_step`, `--initial_epoch` and `--skip_until_initial_step` ask for it. Learning rates begin at the
 * start of their schedule all the same.
 */
export interface RunStart {
  /** Optimizer steps before the beginning, over all epochs; or the epoch to begin with, counted from 1. */
  readonly at: { readonly step: number } | { readonly epoch: number }
  /**
   * True: what comes before counts as done, and the run goes on within the epoch with the pictures, captions and noise of that step.
   * False: only whole epochs are left out, and steps are counted from 0.
   */
  readonly skip: boolean
}

export interface RunBeginning {
  readonly position: RunPosition
  /** The count of steps at which the run ends. */
  readonly lastStep: number
}

/** @throws ConfigError when nothing of the run would be left */
export function planStart(
  start: RunStart | null | undefined,
  { totalSteps, epochCount }: StepPlan,
  run: { readonly batchesPerEpoch: number; readonly gradientAccumulationSteps: number },
): RunBeginning {
  const { batchesPerEpoch, gradientAccumulationSteps } = run
  const stepsPerEpoch = Math.ceil(batchesPerEpoch / gradientAccumulationSteps)
  const at = start?.at ?? { step: 0 }
  const steps = 'step' in at ? at.step : (at.epoch - 1) * stepsPerEpoch
  if (steps >= totalSteps && steps > 0) {
    const option = 'step' in at ? 'initial_step' : 'initial_epoch'
    const message = `--${option} leaves nothing to train: expected less than the ${totalSteps} steps of the run before the beginning, found ${steps}`
    throw new ConfigError(message, { option })
  }
  const epochs = Math.floor(steps / stepsPerEpoch)
  const isWithin = steps % stepsPerEpoch > 0 && start?.skip === true
  const batch = isWithin ? (steps % stepsPerEpoch) * gradientAccumulationSteps : 0
  // An epoch that is over makes the next one begin. Losses of steps passed over are not known, so that their average begins anew.
  const place = isWithin ? { epoch: epochs + 1, batch } : { epoch: epochs, batch: epochs === 0 ? 0 : batchesPerEpoch }
  if (start?.skip !== true) {
    const position = { ...place, step: 0, position: 0, passes: 0, before: { steps: 0, epochs: 0 } }
    return { position, lastStep: Math.min(totalSteps, (epochCount - epochs) * stepsPerEpoch) }
  }
  const passes = epochs * batchesPerEpoch + batch
  return {
    position: { ...place, step: steps, position: 0, passes, before: { steps: 0 - steps, epochs: 0 } },
    lastStep: totalSteps,
  }
}
