import { readFile } from 'node:fs/promises'
import type { LoggedOptions } from '../../config/loggedOptions.ts'
import { readImageHeader } from '../../data/imageHeader.ts'
import { toIoError } from '../../io/systemError.ts'
import type { PreviewEvent, StepEvent, TrainEvent, ValidationEvent } from '../events.ts'
import type { LogSink } from './logSink.ts'
import { type EventWriter, openEventWriter } from './tensorboard.ts'

/**
 * How a step's loss and rates are called, as in the scripts for each kind of training: `network`, that is `loss/current`,
 * `loss/average` and `lr/<group>`; or `model`, `loss` and `lr`, with the group's name when there are several.
 */
export type ScalarTags = 'network' | 'model'

export interface TensorboardSinkOptions {
  /** Default: `network`. */
  readonly tags?: ScalarTags | undefined
}

/**
 * Writes a TensorBoard event file in a folder. Per optimizer step: losses, rates, `norm/grad_norm`, `max_norm/...` where norms
 * are limited, and `loss_scale/scale` and `loss_scale/overflows` in float16. Per epoch, with the epoch as step: `loss/epoch`. Validation losses as they come, and previews under
 * `preview/<index of the prompt>`. Options that are to be logged are the text `config`.
 */
export function tensorboardSink(folder: string, { tags = 'network' }: TensorboardSinkOptions = {}): LogSink {
  let writer: EventWriter | undefined
  return {
    name: 'TensorBoard',
    start: async () => {
      writer = await openEventWriter(folder)
    },
    event: async (event) => {
      if (writer !== undefined) await write(writer, event, tags)
    },
    close: async () => writer?.close(),
  }
}

async function write(writer: EventWriter, event: TrainEvent, tags: ScalarTags): Promise<void> {
  if (event.type === 'start' && event.options) await writer.text('config', optionTable(event.options))
  else if (event.type === 'step') await writer.scalars(event.step, stepScalars(event, tags))
  else if (event.type === 'epochEnd') await writer.scalars(event.epoch, { 'loss/epoch': event.averageLoss })
  else if (event.type === 'validation') await writer.scalars(event[event.by], validationScalars(event))
  else if (event.type === 'preview') await writePreview(writer, event)
}

/** As Markdown, which TensorBoard shows. */
function optionTable(options: LoggedOptions): string {
  const cell = (value: LoggedOptions[string]): string => String(value ?? '').replaceAll('|', '\\|')
  const rows = Object.entries(options).map(([name, value]) => `| ${name} | ${cell(value)} |`)
  return ['| option | value |', '| --- | --- |', ...rows].join('\n')
}

function stepScalars(event: StepEvent, tags: ScalarTags): Readonly<Record<string, number>> {
  const { loss, averageLoss, learningRates, effectiveLearningRates, gradientNorm, lossScaler, measures } = event
  const single = tags === 'model' && Object.keys(learningRates).length === 1
  const named = (prefix: string, rates: Readonly<Record<string, number>>): [string, number][] =>
    Object.entries(rates).map(([group, rate]) => [single ? prefix : `${prefix}/${group}`, rate])
  return {
    ...(tags === 'model' ? { loss } : { 'loss/current': loss, 'loss/average': averageLoss }),
    ...Object.fromEntries(named('lr', learningRates)),
    // Under the name that other trainers log D-Adaptation's d times the rate by.
    ...Object.fromEntries(named('lr/d*lr', effectiveLearningRates ?? {})),
    'norm/grad_norm': gradientNorm,
    ...(lossScaler && { 'loss_scale/scale': lossScaler.scale, 'loss_scale/overflows': lossScaler.overflows }),
    ...measures,
  }
}

function validationScalars({ by, loss, trainingLoss }: ValidationEvent): Readonly<Record<string, number>> {
  return { [`loss/validation/${by}_average`]: loss, [`loss/validation/${by}_divergence`]: loss - trainingLoss }
}

async function writePreview(writer: EventWriter, { path, step, promptIndex = 0 }: PreviewEvent): Promise<void> {
  const { width, height } = await readImageHeader(path)
  const png = await readFile(path).catch((error: unknown) => {
    throw toIoError(path, 'read the preview for the log', error)
  })
  await writer.image(step, `preview/${promptIndex}`, { width, height, png })
}
