import { join } from 'node:path'
import type { LoggedOptions } from '../../config/loggedOptions.ts'
import { jsonLinesSink } from './jsonLinesSink.ts'
import type { LogSink } from './logSink.ts'
import { type ScalarTags, tensorboardSink } from './tensorboardSink.ts'
import { webhookSink } from './webhookSink.ts'

/** What is written to files of a log's folder. */
export type LogKind = 'tensorboard' | 'jsonl'

export interface LoggingConfig {
  /** Null: no files. */
  readonly folder: string | null
  /** Put before the time in the name of the run's folder. */
  readonly prefix: string
  /** Name of the folder in the run's folder. */
  readonly trackerName: string
  /** Default: `tensorboard`. */
  readonly kinds?: readonly LogKind[] | undefined
  /** Default: `network`. */
  readonly tags?: ScalarTags | undefined
  /** An http or https address that the main events are posted to. Default: none. */
  readonly webhook?: string | null | undefined
  /** Options in force, told with the start event. Default: none. */
  readonly options?: LoggedOptions | undefined
}

/**
 * The sinks that a configuration asks for. Files are in `<folder>/<prefix><YYYYmmddHHMMSS>/<tracker name>/`.
 *
 * @param now the time in the folder's name
 * @throws ConfigError when the webhook's address is none
 */
export function logSinks(config: LoggingConfig, now: Date = new Date()): readonly LogSink[] {
  const { folder, prefix, trackerName, kinds = ['tensorboard'], tags, webhook = null } = config
  const sinks: LogSink[] = []
  if (folder !== null) {
    const runFolder = join(folder, `${prefix}${timestamp(now)}`, trackerName)
    if (kinds.includes('tensorboard')) sinks.push(tensorboardSink(runFolder, { tags }))
    if (kinds.includes('jsonl')) sinks.push(jsonLinesSink(runFolder))
  }
  if (webhook !== null) sinks.push(webhookSink(webhook))
  return sinks
}

/** Local time as `YYYYmmddHHMMSS`. */
function timestamp(time: Date): string {
  const parts = [time.getMonth() + 1, time.getDate(), time.getHours(), time.getMinutes(), time.getSeconds()]
  return `${time.getFullYear()}${parts.map((part) => String(part).padStart(2, '0')).join('')}`
}
