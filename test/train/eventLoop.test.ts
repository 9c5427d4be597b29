import { setImmediate } from 'node:timers/promises'
import { afterEach, expect, it, vi } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { trainNetwork } from '../../lib/train/trainings.ts'
import { makeTinyData, saveTinyModel, tinyTraining } from '../support/tinyTraining.ts'

afterEach(() => vi.restoreAllMocks())

/**
 * How long a turn of the event loop is depends on the machine: `npm run bench -- event-loop` measures that. What a turn holds does not:
 * no turn may enqueue more than the forward pass, nor a step be enqueued in one.
 */
it('a training enqueues its steps in many turns of the event loop', async () => {
  const [model, data] = [await saveTinyModel(), await makeTinyData()]
  const config = await tinyTraining(model, data, { training: { maxSteps: 6 } })
  let enqueued = 0
  const mark = addon.mark
  vi.spyOn(addon, 'mark').mockImplementation((sequence) => {
    enqueued++
    mark(sequence)
  })
  const perTurn: number[] = []
  let over = false
  const watching = (async () => {
    for (let before = 0; !over; before = enqueued) {
      await setImmediate()
      if (enqueued > before) perTurn.push(enqueued - before)
    }
  })()
  const totals: number[] = []
  for await (const event of trainNetwork(config)) {
    if (event.type !== 'step') continue
    if (totals.length === 0) perTurn.length = 0 // what was before the first step loaded the model
    totals.push(enqueued)
  }
  over = true
  await watching
  const perStep = totals[5]! - totals[4]!
  expect(totals).toHaveLength(6)
  expect(perStep).toBeGreaterThan(1000)
  expect(Math.max(...perTurn) / perStep).toBeLessThan(0.7)
  expect(perTurn.length).toBeGreaterThan(5 * 3)
})
