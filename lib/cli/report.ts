/** A training's events as lines for people. */
import type { TrainEvent } from '../train/events.ts'
import { formatBytes, formatCount, formatLoss } from './format.ts'

/** The lines an event is worth; none for those that only move the progress display. */
export function describeEvent(event: TrainEvent): readonly string[] {
  switch (event.type) {
    case 'start': {
      const { totalSteps, epochCount, batchesPerEpoch, trainableParameters, moduleCount, seed } = event
      const length = `${formatCount(totalSteps, 'step')} in ${formatCount(epochCount, 'epoch')} of ${formatCount(batchesPerEpoch, 'batch').replace(/s$/, 'es')}`
      const size = `${formatCount(trainableParameters, 'parameter')} in ${formatCount(moduleCount, 'module')}`
      return [...event.report, `training ${size}: ${length}, seed ${seed}`]
    }
    case 'warning':
      return [`warning: ${event.message}`]
    case 'epochEnd':
      return [`epoch ${event.epoch}: average loss ${formatLoss(event.averageLoss)}`]
    case 'validation':
      return [
        `validation at step ${event.step}: loss ${formatLoss(event.loss)} (training ${formatLoss(event.trainingLoss)})`,
      ]
    case 'state':
      return [`saved the state of step ${event.step} in ${event.path} (${formatBytes(event.bytes)})`]
    case 'remove':
      return [`removed ${event.path}, which newer ones replace`]
    case 'save':
      return [`saved ${event.path} (${formatBytes(event.bytes)})`]
    case 'preview':
      return [`drew ${event.path} (${event.prompt})`]
    case 'end':
      if (event.path === null) return ['interrupted before the first step; nothing was written']
      return event.reason === 'finished'
        ? [`finished after ${formatCount(event.step, 'step')}: ${event.path}`]
        : [`interrupted after ${formatCount(event.step, 'step')}; what was learned is in ${event.path}`]
    case 'cache':
    case 'epoch':
    case 'step':
      return []
    default:
      return event satisfies never
  }
}

/** Whether an event's lines are about how it goes rather than what was asked for. */
export function isRemark(event: TrainEvent): boolean {
  return event.type === 'warning'
}
