import { join } from 'node:path'
import { type AppendFile, openAppendFile } from '../../io/appendFile.ts'
import type { TrainEvent } from '../events.ts'
import type { LogSink } from './logSink.ts'

export interface JsonLinesSinkOptions {
  /** The time of an event; a test passes its own. Default: the system clock. */
  readonly now?: () => Date
}

/**
 * Writes every event as one line of JSON to `<folder>/events.jsonl`; each line has reached the operating system before the
 * training goes on. A file that exists is continued, after its last whole line.
 */
export function jsonLinesSink(folder: string, { now = () => new Date() }: JsonLinesSinkOptions = {}): LogSink {
  let file: AppendFile | undefined
  return {
    name: 'JSON Lines',
    start: async () => {
      file = await openAppendFile(join(folder, 'events.jsonl'), { existing: 'continueLines' })
    },
    event: async (event) => file?.append(new TextEncoder().encode(`${eventJson(event, now())}\n`)),
    close: async () => file?.close(),
  }
}

/** An event as JSON, after `time`, when it happened, as ISO 8601. A number that is not finite is null, for JSON has no other. */
export function eventJson(event: TrainEvent, time: Date): string {
  return JSON.stringify({ time: time.toISOString(), ...event })
}
