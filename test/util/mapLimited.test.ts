import { setTimeout } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { mapLimited } from '../../lib/util/mapLimited.ts'

it('keeps the order of the values and never exceeds the limit', async () => {
  let running = 0
  let most = 0
  const results = await mapLimited([5, 1, 4, 2, 3, 0], 3, async (value, index) => {
    most = Math.max(most, ++running)
    await setTimeout(value)
    running--
    return [index, value]
  })
  expect(results).toEqual([
    [0, 5],
    [1, 1],
    [2, 4],
    [3, 2],
    [4, 3],
    [5, 0],
  ])
  expect(most).toBe(3)
})

it('rejects with the first failure and starts no further call', async () => {
  let calls = 0
  const run = mapLimited([0, 1, 2, 3, 4, 5], 2, async (value) => {
    calls++
    await setTimeout(1)
    if (value === 1) throw new Error('second')
  })
  await expect(run).rejects.toThrow('second')
  await setTimeout(5)
  expect(calls).toBeLessThanOrEqual(3)
})

it('gives an empty list for an empty list', async () => {
  expect(await mapLimited([], 4, async () => 1)).toEqual([])
})
