import { join } from 'node:path'
import type { TrainEvent } from './events.ts'
import { type EventWriter, openEventWriter } from './tensorboard.ts'
import type { TrainConfig } from './trainConfig.ts'

export interface LogEventsOptions {
  /** The time in the folder's name. Default: now. */
  readonly now?: Date
}

/**
 * Passes a training's events on and writes their numbers to a TensorBoard event file on the way:
 *
 *   for await (const event of logEvents(trainNetwork(config), config.logging)) ...
 *
 * The file is in `<folder>/<prefix><YYYYmmddHHMMSS>/<tracker name>/` and is made when the training starts. Per optimizer step:
 * `loss/current`, `loss/average`, `lr/<group>`. Per epoch, with the epoch as step: `loss/epoch`. Without a folder nothing is written.
 *
 * @throws IoError when the file cannot be made or written
 */
export async function* logEvents(
  events: AsyncIterable<TrainEvent>,
  logging: TrainConfig['logging'],
  options: LogEventsOptions = {},
): AsyncGenerator<TrainEvent> {
  if (logging.folder === null) {
    yield* events
    return
  }
  const { now = new Date() } = options
  const folder = join(logging.folder, `${logging.prefix}${timestamp(now)}`, logging.trackerName)
  let writer: EventWriter | undefined
  try {
    for await (const event of events) {
      if (event.type === 'start') writer = await openEventWriter(folder)
      await log(writer, event)
      yield event
    }
  } finally {
    await writer?.close()
  }
}

async function log(writer: EventWriter | undefined, event: TrainEvent): Promise<void> {
  if (event.type === 'step') {
    const named = (prefix: string, rates: Readonly<Record<string, number>>): [string, number][] =>
      Object.entries(rates).map(([group, rate]) => [`${prefix}/${group}`, rate])
    // Under the name that other trainers log D-Adaptation's d times the rate by.
    const rates = [...named('lr', event.learningRates), ...named('lr/d*lr', event.effectiveLearningRates ?? {})]
    const losses = { 'loss/current': event.loss, 'loss/average': event.averageLoss }
    await writer?.scalars(event.step, { ...losses, ...Object.fromEntries(rates) })
  } else if (event.type === 'epochEnd') {
    await writer?.scalars(event.epoch, { 'loss/epoch': event.averageLoss })
  }
}

/** Local time as `YYYYmmddHHMMSS`. */
function timestamp(time: Date): string {
  const parts = [time.getMonth() + 1, time.getDate(), time.getHours(), time.getMinutes(), time.getSeconds()]
  return `${time.getFullYear()}${parts.map((part) => String(part).padStart(2, '0')).join('')}`
}
