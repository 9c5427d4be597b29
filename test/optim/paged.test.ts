import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { AdamW } from '../../lib/optim/adamW.ts'
import { AdamW8bit } from '../../lib/optim/adamW8bit.ts'
import { Lion8bit } from '../../lib/optim/lion.ts'
import type { Optimizer, OptimizerParameter } from '../../lib/optim/optimizer.ts'
import { PagedAdamW, PagedAdamW8bit, PagedLion8bit } from '../../lib/optim/paged.ts'
import { createOptimizer } from '../../lib/optim/registry.ts'
import { pagedZeros, tensor, zeros } from '../../lib/tensor/create.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import { settled } from '../support/device.ts'
import { pseudoRandom } from '../support/float64.ts'

const pairs = [
  ['pagedAdamW', PagedAdamW, AdamW, 8],
  ['pagedAdamW8bit', PagedAdamW8bit, AdamW8bit, 2],
  ['pagedLion8bit', PagedLion8bit, Lion8bit, 1],
] as const

const large = 120_000
function parameters(): OptimizerParameter[] {
  return Object.entries({ large, small: 5000 }).map(([name, size]) => ({
    name,
    master: tensor(pseudoRandom(name, size), [size]),
  }))
}

function steps(optimizer: Optimizer, params: readonly OptimizerParameter[], from: number, to: number): void {
  for (let t = from; t <= to; t++) {
    for (const { name, master } of params) master.grad = tensor(pseudoRandom(`${name}/${t}`, master.size), master.shape)
    optimizer.step()
    optimizer.zeroGrad()
  }
}

const residentBytes = (): number => {
  const [, pages] = readFileSync('/proc/self/statm', 'latin1').split(' ')
  return Number(pages) * 4096
}

describe.each(pairs)('%s', (_, Paged, Plain, bytes) => {
  it('steps as without paging, also when nothing may stay in memory, and goes on from a saved state', async () => {
    const before = memory().pagedBytes
    const [plainParams, pagedParams] = [parameters(), parameters()]
    const plain = new Plain([{ params: plainParams }])
    let paged: Optimizer = new Paged([{ params: pagedParams }], { residentBytes: 0 })
    await settled()
    expect(memory().pagedBytes - before).toBe(bytes * large)
    steps(plain, plainParams, 1, 3)
    steps(paged, pagedParams, 1, 2)
    const next = new Paged([{ params: pagedParams }], { residentBytes: bytes * large })
    next.loadState(paged.state())
    paged.dispose()
    paged = next
    steps(paged, pagedParams, 3, 3)
    for (const [i, { master }] of plainParams.entries())
      expect(await pagedParams[i]!.master.read()).toEqual(await master.read())
    plain.dispose()
    paged.dispose()
    await settled()
    expect(memory().pagedBytes).toBe(before)
  })
})

describe('paged states', () => {
  it('leave memory beyond their budget', async () => {
    const size = 16_000_000
    const params = [{ name: 'p', master: zeros([size]) }]
    params[0]!.master.grad = zeros([size])
    const run = async (budget: number): Promise<number> => {
      const optimizer = new PagedAdamW([{ params }], { residentBytes: budget })
      optimizer.step()
      await settled()
      const resident = residentBytes()
      optimizer.dispose()
      await settled()
      return resident
    }
    await run(0)
    const [all, none] = [await run(8 * size), await run(0)]
    expect(all - none).toBeGreaterThan(0.9 * 8 * size)
  })

  it('say which folder cannot hold them', async () => {
    const folder = join('/nonexistent', 'states')
    const t = pagedZeros([4], folder)
    await expect(t.read()).rejects.toThrow(`no file could be made in "${folder}": No such file or directory`)
  })

  it('lie where the arguments of an optimizer by name say', async () => {
    const groups = [{ name: 'unet', params: parameters(), learningRate: 1 }]
    const optimizer = createOptimizer('PagedLion8bit', groups, { folder: '/nonexistent/states', resident_bytes: 1e9 })
    const state = optimizer.state().tensors.get('large.state1')!
    await expect(state.read()).rejects.toThrow('no file could be made in "/nonexistent/states"')
    optimizer.dispose()
  })

  it('refuse a negative budget', () => {
    const make = (): Optimizer => new PagedAdamW([{ params: parameters() }], { residentBytes: -1 })
    expect(make).toThrow('pagedAdamW: residentBytes must be 0 or more, received -1')
  })
})
