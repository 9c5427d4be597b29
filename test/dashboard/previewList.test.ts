import { describe, expect, it } from 'vitest'
import { PreviewList } from '../../lib/dashboard/previewList.ts'

describe('PreviewList', () => {
  const add = (list: PreviewList, step: number, promptIndex: number): string =>
    list.add({
      type: 'preview',
      path: `/pictures/${step}-${promptIndex}.png`,
      prompt: 'p',
      promptIndex,
      step,
      epoch: 1,
    }).id

  it('knows pictures by ids that say nothing of their files', () => {
    const list = new PreviewList()
    const [first, second] = [add(list, 10, 0), add(list, 10, 1)]
    expect(list.pathOf(first)).toBe('/pictures/10-0.png')
    expect(list.pathOf(second)).toBe('/pictures/10-1.png')
    expect(first).toMatch(/^[\w-]{22}$/)
    expect(list.pathOf('/pictures/10-0.png')).toBeUndefined()
    expect(list.all[1]).toEqual({ id: second, prompt: 'p', promptIndex: 1, seed: null, step: 10, epoch: 1 })
  })

  it('lets pictures go when they become too many, but neither the first nor the last', () => {
    const list = new PreviewList(20)
    const first = add(list, 0, 0)
    let last = first
    for (let step = 1; step <= 200; step++) last = add(list, step, 0)
    expect(list.all.length).toBeLessThanOrEqual(20)
    expect(list.all.length).toBeGreaterThan(5)
    expect([list.all[0]!.id, list.all.at(-1)!.id]).toEqual([first, last])
    for (const { id } of list.all) expect(list.pathOf(id)).toBeDefined()
  })
})
