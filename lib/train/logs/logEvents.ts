import type { TrainEvent, WarningEvent } from '../events.ts'
import { GuardedSink, type LogSink } from './logSink.ts'

/**
 * Passes a training's events on, and to sinks on the way:
 *
 *   for await (const event of logEvents(trainNetwork(config), logSinks(config.logging))) ...
 *
 * Sinks are started with the first event that is not a warning, so that a training that fails before it begins leaves no log, and
 * closed before the end event is passed on or when the reader leaves. A sink that cannot be started ends the training, since
 * nothing is lost yet and somebody is probably there. Later failures, such as a full disk, do not: the first of each sink becomes a
 * warning event, a second one gives their number at the end, and the sink is still given every event, in case there is room again.
 *
 * @throws what a sink's `start` throws
 */
export async function* logEvents(
  events: AsyncIterable<TrainEvent>,
  sinks: readonly LogSink[],
): AsyncGenerator<TrainEvent> {
  const logs = sinks.map((sink) => new GuardedSink(sink))
  const early: WarningEvent[] = []
  let started = false
  try {
    for await (const event of events) {
      if (!started) {
        if (event.type === 'warning') {
          early.push(event)
          yield event
          continue
        }
        started = true
        for (const log of logs) await log.start()
        for (const warning of early) await give(logs, warning)
      }
      await give(logs, event)
      yield* newWarnings(logs)
      if (event.type === 'end') {
        await closeAll(logs)
        yield* newWarnings(logs)
      }
      yield event
    }
  } finally {
    await closeAll(logs)
  }
}

async function give(logs: readonly GuardedSink[], event: TrainEvent): Promise<void> {
  await Promise.all(logs.map((log) => log.take(event)))
}

/** What the sinks warn of, for the sinks too. What they warn of when told waits for the next event: it could go on forever. */
async function* newWarnings(logs: readonly GuardedSink[]): AsyncGenerator<WarningEvent> {
  for (const message of logs.flatMap((log) => log.takeWarnings())) {
    const warning = { type: 'warning', message } as const
    await give(logs, warning)
    yield warning
  }
}

async function closeAll(logs: readonly GuardedSink[]): Promise<void> {
  await Promise.all(logs.map((log) => log.close()))
}
