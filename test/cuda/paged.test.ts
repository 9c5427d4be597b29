/** Paged optimizers on the emulated GPU, whose states lie in pinned host memory that kernels know by an address of its own. */
import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { copyInto } from '../../lib/ops/accumulate.ts'
import { AdamW } from '../../lib/optim/adamW.ts'
import { AdamW8bit } from '../../lib/optim/adamW8bit.ts'
import { Lion8bit } from '../../lib/optim/lion.ts'
import type { Optimizer, OptimizerParameter, OptimizerState } from '../../lib/optim/optimizer.ts'
import { PagedAdamW, PagedAdamW8bit, PagedLion8bit } from '../../lib/optim/paged.ts'
import { createOptimizer } from '../../lib/optim/registry.ts'
import { pinnedZeros, tensor } from '../../lib/tensor/create.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import type { DeviceName, Tensor } from '../../lib/tensor/tensor.ts'
import { ArgumentError, OutOfMemoryError } from '../../lib/util/errors.ts'
import { canEmulate, orders, setEmulation } from '../support/emulatedGpu.ts'
import { pseudoRandom } from '../support/float64.ts'

const device = 'cuda'
const devices: readonly DeviceName[] = ['cpu', device]

// Tolerances of the conformance suite: one code apart is a seventieth of a moment, and a fraction of the step in the parameter.
const pairs = [
  ['pagedAdamW', PagedAdamW, AdamW, 8, 2e-6],
  ['pagedAdamW8bit', PagedAdamW8bit, AdamW8bit, 2, 2e-4],
  ['pagedLion8bit', PagedLion8bit, Lion8bit, 1, 2e-4],
] as const

/** Large enough to page; the first ends within a block of 256. */
const sizes = { odd: 100_019, even: 110_080, small: 5000 } as const
const pagedSize = sizes.odd + sizes.even

const known = new Map<string, Float32Array>()
function numbers(name: string, size: number): Float32Array {
  const values = known.get(name) ?? pseudoRandom(name, size)
  known.set(name, values)
  return values
}

type Name = keyof typeof sizes
function parameters(device: DeviceName, names: readonly Name[] = ['odd', 'even', 'small']): OptimizerParameter[] {
  return names.map((name) => ({ name, master: tensor(numbers(name, sizes[name]), [sizes[name]], { device }) }))
}

function steps(optimizer: Optimizer, from: number, to: number): void {
  for (let t = from; t <= to; t++) {
    for (const { name, master } of optimizer.parameters!())
      master.grad = tensor(numbers(`${name}/${t}`, master.size), master.shape, { device: master.device })
    optimizer.step()
    optimizer.zeroGrad()
  }
}

/** Storages of each device and bytes of pinned memory, once everything enqueued has run. */
async function held(): Promise<readonly number[]> {
  const counts: number[] = []
  for (const device of devices) {
    for (const _ of ['what was enqueued', 'what freeing enqueued']) {
      const fence = tensor([0], [1], { device })
      await fence.read()
      fence.dispose()
    }
    counts.push(memory(device).liveBuffers, memory(device).pagedBytes)
  }
  return counts
}

async function valuesOf(optimizer: Optimizer): Promise<Readonly<Record<string, Float32Array>>> {
  const all: Record<string, Float32Array> = {}
  for (const { name, master } of optimizer.parameters!()) all[name] = (await master.read()) as Float32Array
  return all
}

/** A digest of each parameter, and of each state as a file would hold it. */
async function bits(optimizer: Optimizer): Promise<Readonly<Record<string, string>>> {
  const all: Record<string, string> = {}
  const add = async (key: string, t: Tensor): Promise<void> => {
    const { buffer, byteOffset, byteLength } = (await t.read()) as ArrayBufferView
    all[key] = createHash('sha256')
      .update(new Uint8Array(buffer, byteOffset, byteLength))
      .digest('hex')
  }
  for (const { name, master } of optimizer.parameters!()) await add(name, master)
  for (const [key, state] of optimizer.state().tensors) await add(key, state)
  return all
}

/** A copy of a state in ordinary memory of the CPU, as it is read from a file. */
async function stored(state: OptimizerState): Promise<OptimizerState> {
  const tensors = new Map<string, Tensor>()
  for (const [key, t] of state.tensors)
    tensors.set(key, tensor((await t.read()) as ArrayBufferView, t.shape, { dtype: t.dtype }))
  return { ...state, tensors }
}

function disposeAll(optimizer: Optimizer, saved?: OptimizerState): void {
  for (const { master } of optimizer.parameters!()) master.dispose()
  for (const t of saved?.tensors.values() ?? []) t.dispose()
  optimizer.dispose()
}

let before: readonly number[]

describe.runIf(canEmulate)('states in pinned host memory', () => {
  beforeEach(async () => {
    before = await held()
  })
  afterEach(async () => {
    setEmulation('ORDER', 'forward')
    setEmulation('FAIL', '')
    setEmulation('HOLD', '')
    expect(await held(), 'what the test left').toEqual(before)
  })

  describe.each(pairs)('%s', (_, Paged, Plain, bytes, tolerance) => {
    it('steps as on the CPU for 20 steps', async () => {
      const run = async (device: DeviceName) => {
        const optimizer = new Paged([{ params: parameters(device, ['odd', 'small']) }])
        steps(optimizer, 1, 20)
        const result = await valuesOf(optimizer)
        expect(memory(device).pagedBytes).toBe(bytes * sizes.odd)
        disposeAll(optimizer)
        return result
      }
      const [onCpu, onGpu] = [await run('cpu'), await run(device)]
      for (const [name, y] of Object.entries(onCpu)) {
        const x = onGpu[name]!
        const root = Math.sqrt(y.reduce((sum, each) => sum + each * each, 0) / y.length)
        const apart = y.reduce(
          (most, each, i) => Math.max(most, Math.abs(x[i]! - each) / Math.max(root, Math.abs(each))),
          0,
        )
        expect(apart, name).toBeLessThan(tolerance)
      }
    })

    it('gives the same bits in every order of threads', async () => {
      const results: unknown[] = []
      for (const order of orders) {
        setEmulation('ORDER', order)
        const optimizer = new Paged([{ params: parameters(device, ['odd']) }])
        steps(optimizer, 1, 3)
        results.push(await bits(optimizer))
        disposeAll(optimizer)
      }
      for (const [i, order] of orders.entries()) expect(results[i], order).toEqual(results[0])
    })

    it('gives the bits of the optimizer that is not paged, and of one that is paged in part', async () => {
      const run = async (make: () => Optimizer): Promise<unknown> => {
        const optimizer = make()
        steps(optimizer, 1, 2)
        const result = await bits(optimizer)
        disposeAll(optimizer)
        return result
      }
      const plain = await run(() => new Plain([{ params: parameters(device) }]))
      expect(await run(() => new Paged([{ params: parameters(device) }]))).toEqual(plain)
      const residentBytes = bytes * sizes.odd
      expect(await run(() => new Paged([{ params: parameters(device) }], { residentBytes }))).toEqual(plain)
    })

    it('goes on bit for bit from a saved state, which moves to the CPU, out of paging and back', async () => {
      const whole = new Paged([{ params: parameters(device) }])
      steps(whole, 1, 2)
      const half = await stored(whole.state())
      const [halfway, start] = [await bits(whole), await valuesOf(whole)]
      steps(whole, 3, 4)
      const end = await bits(whole)
      disposeAll(whole)
      const on = (device: DeviceName): { params: OptimizerParameter[] } => ({
        params: Object.entries(sizes).map(([name, size]) => ({
          name,
          master: tensor(start[name]!, [size], { device }),
        })),
      })
      // What each makes of the state is what it was; the last takes the remaining steps.
      let saved = half
      for (const make of [
        () => new Paged([on('cpu')]),
        () => new Plain([on(device)]),
        () => new Paged([on(device)]),
        () => new Plain([on('cpu')]),
        () => new Paged([on(device)]),
      ]) {
        const optimizer: Optimizer = make()
        optimizer.loadState(saved)
        expect(await bits(optimizer)).toEqual(halfway)
        const next = await stored(optimizer.state())
        if (saved !== half) for (const t of saved.tensors.values()) t.dispose()
        saved = next
        disposeAll(optimizer)
      }
      const resumed = new Paged([on(device)])
      resumed.loadState(saved)
      steps(resumed, 3, 4)
      expect(await bits(resumed)).toEqual(end)
      disposeAll(resumed, saved)
      for (const t of half.tensors.values()) t.dispose()
    })
  })

  it('stay on the GPU as far as its budget goes, those of the first parameters first', async () => {
    const pinned = async (residentBytes: number): Promise<number> => {
      const optimizer = new PagedAdamW8bit([{ params: parameters(device) }], { residentBytes })
      await held()
      const { pagedBytes } = memory(device)
      disposeAll(optimizer)
      return pagedBytes
    }
    expect(await pinned(0)).toBe(2 * pagedSize)
    expect(await pinned(2 * sizes.odd - 1)).toBe(2 * pagedSize - sizes.odd)
    expect(await pinned(2 * sizes.odd)).toBe(2 * sizes.even)
    expect(await pinned(2 * pagedSize)).toBe(0)
  })

  it('lie in no folder', () => {
    const params = parameters(device)
    const make = (): Optimizer =>
      createOptimizer('PagedLion8bit', [{ name: 'unet', params, learningRate: 1 }], { folder: '/tmp' })
    expect(make).toThrow(ArgumentError)
    expect(make).toThrow(
      'pagedLion8bit: folder must be left out for parameters on a GPU, whose states lie in pinned host memory and not in files, ' +
        'received "/tmp" with odd on cuda',
    )
    for (const { master } of params) master.dispose()
  })

  it('are refused where the driver has no such memory, with what to do, and leave nothing', async () => {
    const params = parameters(device)
    for (const { master } of params) await master.read()
    setEmulation('FAIL', 'cuMemHostAlloc=2')
    const optimizer = new PagedAdamW8bit([{ params }])
    const error = await optimizer
      .state()
      .tensors.get('even.state2')!
      .read()
      .catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(OutOfMemoryError)
    expect(error).toMatchObject({ op: 'pinnedZeros', driverCode: 'CUDA_ERROR_OUT_OF_MEMORY' })
    expect((error as Error).message).toContain(
      `pinnedZeros: the CUDA driver has no ${sizes.even} bytes of pinned host memory to give (0 are in use): keep more of the states ` +
        'on the GPU (residentBytes, resident_bytes), or take an optimizer that is not paged',
    )
    const [start] = Object.values(await valuesOf(optimizer))
    steps(optimizer, 1, 1)
    await expect(params[0]!.master.read(), 'a step without its states').rejects.toThrow(OutOfMemoryError)
    expect(Object.values(await valuesOf(optimizer))[0]).toEqual(start)
    disposeAll(optimizer)
  })

  it('go back to the driver when what reads them is over', async () => {
    const ones = tensor(new Float32Array(1000).fill(1), [1000], { device })
    const state = pinnedZeros([1000], { device })
    copyInto(state, ones)
    ones.dispose()
    setEmulation('HOLD', '1') // nobody waits for the copy that the read asks for
    const reading = state.read()
    state.dispose()
    await expect.poll(() => memory(device).pagedBytes, { interval: 1 }).toBe(before[3])
    setEmulation('HOLD', '')
    expect(await reading).toEqual(new Float32Array(1000).fill(1))
  })

  it.each(['cuMemHostAlloc=1', 'cuMemHostGetDevicePointer_v2=1'])(
    'say what else the driver says: %s',
    async (failure) => {
      await held()
      setEmulation('FAIL', failure)
      const state = pinnedZeros([100_000], { device })
      await expect(state.read()).rejects.toThrow('pinned host memory: the CUDA driver says CUDA_ERROR_INVALID_VALUE')
      setEmulation('FAIL', '')
      expect(memory(device).pagedBytes).toBe(before[3])
      state.dispose()
    },
  )

  it('are refused before anything is made when the host has too little memory to pin', async () => {
    const available = process.availableMemory
    process.availableMemory = () => (4 / 3) * (2 * pagedSize - 2)
    const params = parameters(device)
    const make = (residentBytes: number): Optimizer => new PagedAdamW8bit([{ params }], { residentBytes })
    try {
      expect(() => make(0)).toThrow(OutOfMemoryError)
      expect(() => make(0)).toThrow(`pagedAdamW8bit: its states need ${2 * pagedSize} bytes of pinned host memory`)
      make(sizes.odd).dispose()
    } finally {
      process.availableMemory = available
      for (const { master } of params) master.dispose()
    }
  })
})
