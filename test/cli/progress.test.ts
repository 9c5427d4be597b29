import { describe, expect, it } from 'vitest'
import { createProgress } from '../../lib/cli/progress.ts'
import type { TrainEvent } from '../../lib/train/events.ts'
import { fakeEvents } from './fakeTraining.ts'
import { TestStream } from './testHost.ts'

/** Shows the events of a training, so many seconds before each step and half a minute before each other event. */
async function shown(stepSeconds: number, isTTY: boolean): Promise<TestStream> {
  const stream = new TestStream(isTTY)
  let now = 5e6
  const progress = await createProgress(stream, { now: () => now })
  for await (const event of fakeEvents()) {
    now += 1000 * (event.type === 'step' ? stepSeconds : withoutWork(event) ? 0 : 30)
    progress.update(event)
  }
  progress.stop()
  return stream
}

const withoutWork = ({ type }: TrainEvent): boolean => ['epoch', 'epochEnd', 'warning'].includes(type)

describe('the progress of a training', () => {
  it('gives the recent rate and the time that steps of that rate still take', async () => {
    const { lines } = await shown(20, false)
    expect(lines.filter((line) => line.startsWith('step'))).toEqual([
      'step 1/4  loss 1.0000  average 2.0000  lr textencoder 5.00e-5 unet 1.00e-4  20.00 s/step  1:00 left',
      'step 2/4  loss 0.5000  average 1.0000  lr textencoder 5.00e-5 unet 1.00e-4  20.00 s/step  0:40 left',
      'step 3/4  loss 0.3333  average 0.6667  lr textencoder 5.00e-5 unet 1.00e-4  20.00 s/step  0:20 left',
      'step 4/4  loss 0.2500  average 0.5000  lr textencoder 5.00e-5 unet 1.00e-4  20.00 s/step  0:00 left',
    ])
  })

  it('gives the same on a terminal', async () => {
    const { text } = await shown(0.25, true)
    expect(text).toContain('4/4  0:00 left  4.00 steps/s  loss 0.2500  average 0.5000')
  })
})
