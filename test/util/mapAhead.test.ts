import { setTimeout } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { mapAhead } from '../../lib/util/mapAhead.ts'

describe('mapAhead', () => {
  it('gives results in order, with a bounded number of calls under way', async () => {
    let running = 0
    let most = 0
    const slow = async (value: number): Promise<number> => {
      most = Math.max(most, ++running)
      await setTimeout(value % 2 === 0 ? 4 : 1)
      running--
      return value * 10
    }
    const found: number[] = []
    for await (const value of mapAhead([1, 2, 3, 4, 5, 6, 7], 2, slow)) found.push(value)
    expect(found).toEqual([10, 20, 30, 40, 50, 60, 70])
    expect(most).toBe(3)
  })

  it('raises a failure when its turn comes, and starts no more', async () => {
    const started: number[] = []
    const found: number[] = []
    const run = async (): Promise<void> => {
      const work = mapAhead([1, 2, 3, 4, 5, 6], 1, async (value) => {
        started.push(value)
        if (value === 2) throw new Error('two')
        return value
      })
      for await (const value of work) found.push(value)
    }
    await expect(run()).rejects.toThrow('two')
    expect(found).toEqual([1])
    expect(started).toEqual([1, 2, 3])
  })

  it('waits for what is under way when it is left', async () => {
    let done = 0
    for await (const _ of mapAhead([1, 2, 3, 4, 5, 6], 2, async (value) => {
      if (value > 1) await setTimeout(5)
      done++
    }))
      break
    expect(done).toBe(3)
  })
})
