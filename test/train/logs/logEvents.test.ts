import { describe, expect, it } from 'vitest'
import type { TrainEvent } from '../../../lib/train/events.ts'
import { logEvents } from '../../../lib/train/logs/logEvents.ts'
import type { LogContext, LogSink } from '../../../lib/train/logs/logSink.ts'
import { fakeEvents } from '../../cli/fakeTraining.ts'

async function collect(events: AsyncIterable<TrainEvent>): Promise<TrainEvent[]> {
  const all: TrainEvent[] = []
  for await (const event of events) all.push(event)
  return all
}

interface Kept {
  readonly sink: LogSink
  readonly events: TrainEvent[]
  /** `start` and `close`, as they were called. */
  readonly calls: string[]
}

function keepingSink(more: Partial<LogSink> = {}): Kept {
  const events: TrainEvent[] = []
  const calls: string[] = []
  const sink: LogSink = {
    name: 'kept',
    start: () => void calls.push('start'),
    event: (event) => void events.push(event),
    close: async () => void calls.push('close'),
    ...more,
  }
  return { sink, events, calls }
}

const warningsOf = (events: readonly TrainEvent[]): string[] =>
  events.flatMap((event) => (event.type === 'warning' ? [event.message] : []))

describe('logEvents', () => {
  it('passes every event on, and to each sink in order', async () => {
    const [first, second] = [keepingSink(), keepingSink()]
    const expected = await collect(fakeEvents())
    expect(await collect(logEvents(fakeEvents(), [first.sink, second.sink]))).toEqual(expected)
    for (const { events, calls } of [first, second]) {
      expect(events).toEqual(expected)
      expect(calls).toEqual(['start', 'close'])
    }
  })

  it('does not start sinks for a training that fails before it begins', async () => {
    const failing = async function* (): AsyncGenerator<TrainEvent> {
      yield { type: 'warning', message: 'w' }
      throw new Error('no pictures')
    }
    const { sink, events, calls } = keepingSink()
    await expect(collect(logEvents(failing(), [sink]))).rejects.toThrow('no pictures')
    expect([events, calls]).toEqual([[], []])
  })

  it('closes sinks when the training fails later', async () => {
    const failing = async function* (): AsyncGenerator<TrainEvent> {
      for await (const event of fakeEvents()) {
        if (event.type === 'step') throw new Error('the device failed')
        yield event
      }
    }
    const { sink, calls } = keepingSink()
    await expect(collect(logEvents(failing(), [sink]))).rejects.toThrow('the device failed')
    expect(calls).toEqual(['start', 'close'])
  })

  it('ends the training and closes the sinks when its reader leaves early', async () => {
    let ended = false
    const events = async function* (): AsyncGenerator<TrainEvent> {
      try {
        yield* fakeEvents()
      } finally {
        ended = true
      }
    }
    const { sink, calls } = keepingSink()
    for await (const event of logEvents(events(), [sink])) if (event.type === 'step') break
    expect(ended).toBe(true)
    expect(calls).toEqual(['start', 'close'])
  })

  it('waits for a sink before it goes on', async () => {
    const order: string[] = []
    const slow = keepingSink({
      event: async ({ type }) => {
        await new Promise((resolve) => setTimeout(resolve, 1))
        order.push(`logged ${type}`)
      },
    })
    for await (const { type } of logEvents(fakeEvents(), [slow.sink])) order.push(`got ${type}`)
    expect(order.slice(2, 6)).toEqual(['logged start', 'got start', 'logged cache', 'got cache'])
  })

  it('lets a sink that cannot start end the training, and closes those that did', async () => {
    const started = keepingSink()
    const broken = keepingSink({
      start: () => {
        throw new Error('no such folder')
      },
    })
    await expect(collect(logEvents(fakeEvents(), [started.sink, broken.sink]))).rejects.toThrow('no such folder')
    expect(started.calls).toEqual(['start', 'close'])
    expect(broken.calls).toEqual([])
  })

  it('goes on when a sink fails: one warning, for the other sinks too, and their number at the end', async () => {
    const well = keepingSink()
    let calls = 0
    const full = keepingSink({
      name: 'full',
      event: async ({ type }) => {
        calls++
        if (type === 'step') throw new Error('the disk is full')
      },
    })
    const events = await collect(logEvents(fakeEvents(), [full.sink, well.sink]))
    const warnings = [
      'two pictures have no caption',
      'the full log failed: the disk is full. The training goes on without what it misses',
      'the full log misses 4 events',
    ]
    expect(warningsOf(events)).toEqual(warnings)
    expect(warningsOf(well.events)).toEqual(warnings.slice(0, 2)) // at the end all are closed
    expect(events.filter(({ type }) => type !== 'warning')).toHaveLength((await collect(fakeEvents())).length - 1)
    expect(events.at(-1)!.type).toBe('end')
    expect(calls).toBe(events.length - 1)
    expect(full.calls).toEqual(['start', 'close'])
  })

  it('says once what a single failure was, and what closing failed with', async () => {
    const once = keepingSink({
      name: 'once',
      event: ({ type }) => {
        if (type === 'save') throw new Error('a moment of weakness')
      },
      close: () => {
        throw new Error('cannot flush')
      },
    })
    expect(warningsOf(await collect(logEvents(fakeEvents(), [once.sink])))).toEqual([
      'two pictures have no caption',
      'the once log failed: a moment of weakness. The training goes on without what it misses',
      'the once log failed: cannot flush',
    ])
  })

  it('reports what a sink warns of, and does not go round in circles with one that warns of warnings', async () => {
    let context: LogContext | undefined
    const warning = keepingSink({
      start: (given) => {
        context = given
      },
      event: ({ type }) => {
        if (type === 'warning') context!.warn('warned')
      },
    })
    const events = await collect(logEvents(fakeEvents(), [warning.sink]))
    expect(events.length).toBeLessThanOrEqual(1 + 2 * (await collect(fakeEvents())).length)
    expect(warningsOf(events)).toContain('warned')
  })
})
