/** Repeated steps as CUDA graphs, on the look-alike driver: what they compute, hold and give back, and when they are not used. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { type Repeatable, repeatable } from '../../lib/autograd/repeatable.ts'
import { copyInto } from '../../lib/ops/accumulate.ts'
import { linear } from '../../lib/ops/linear.ts'
import { mseLoss } from '../../lib/ops/mseLoss.ts'
import { mul } from '../../lib/ops/mul.ts'
import { scale } from '../../lib/ops/scale.ts'
import { silu } from '../../lib/ops/silu.ts'
import { full, randomNormal, tensor } from '../../lib/tensor/create.ts'
import { memory, releaseCached, setMemoryLimit } from '../../lib/tensor/runtime.ts'
import { scope } from '../../lib/tensor/scope.ts'
import type { DeviceName, Tensor } from '../../lib/tensor/tensor.ts'
import { canEmulate, orders, setEmulation } from '../support/emulatedGpu.ts'

setEmulation('DEVICE', '2,80,99000,4294967296')
const gpus: readonly DeviceName[] = ['cuda', 'cuda:1']
const shapes = [
  [3, 24],
  [40, 24],
] as const

interface Model {
  readonly weight: Tensor
  readonly bias: Tensor
}

let made: { dispose(): void }[]
let baselines: readonly number[]

function track<T extends { dispose(): void }>(item: T): T {
  made.push(item)
  return item
}
const normal = (shape: readonly number[], seed: number, device: DeviceName = 'cuda'): Tensor =>
  track(randomNormal(shape, { seed, device }))

function modelOn(device: DeviceName = 'cuda'): Model {
  const model = { weight: normal([20, 24], 1, device), bias: normal([20], 2, device) }
  for (const parameter of Object.values(model)) parameter.requiresGrad = true
  return model
}
function batchOf(call: number, device: DeviceName = 'cuda'): [Tensor, Tensor] {
  const [rows, columns] = shapes[call % 2]!
  return [normal([rows, columns], 10 + call, device), normal([rows, 20], 50 + call, device)]
}

/** Forward, loss, backward. */
const bodyOf =
  ({ weight, bias }: Model) =>
  (x: Tensor | null, target: Tensor | null): [Tensor] => {
    const hidden = silu(linear(x!, weight, bias, null, null, null))
    const loss = mseLoss(mul(hidden, hidden), target!, null)
    backward(loss)
    return [loss]
  }

async function numbersOf({ weight, bias }: Model, run: () => readonly Tensor[]): Promise<number[][]> {
  const results = scope(run)
  const gradients = [weight.grad!, bias.grad!]
  weight.grad = bias.grad = null
  try {
    return await Promise.all([...results, ...gradients].map(async (t) => Array.from(await t.read(), Number)))
  } finally {
    for (const t of [...results, ...gradients]) t.dispose()
  }
}

async function settled(): Promise<void> {
  for (const device of gpus) {
    const fence = tensor([0], [1], { device })
    await fence.read()
    fence.dispose()
  }
}
async function liveBuffers(): Promise<number[]> {
  await settled()
  return gpus.map((device) => memory(device).liveBuffers)
}

/** A step that is a graph by now, and what it gives for its next batch when its ops are called. */
async function captured(model = modelOn(), device: DeviceName = 'cuda'): Promise<Repeatable<[Tensor]>> {
  const step = track(repeatable(bodyOf(model)))
  for (let call = 0; call < 6; call++) await numbersOf(model, () => step(batchOf(call, device)))
  return step
}

describe.runIf(canEmulate)('a repeated step on a GPU', () => {
  beforeEach(async () => {
    made = []
    baselines = await liveBuffers()
  })
  afterEach(async () => {
    setEmulation('FAIL', '')
    setEmulation('ORDER', 'forward')
    setEmulation('STREAMS', 'late')
    setMemoryLimit(0, 'cuda')
    for (const item of made) item.dispose()
    expect(await liveBuffers(), 'live buffers').toEqual(baselines)
    expect(gpus.map((device) => memory(device).reservedBytes)).toEqual([0, 0])
  })

  it.each(orders)('gives the bits of a step that is run, in %s order', async (order) => {
    setEmulation('ORDER', order)
    const model = modelOn()
    const step = track(repeatable(bodyOf(model)))
    for (let call = 0; call < 10; call++) {
      const inputs = batchOf(call)
      const repeated = await numbersOf(model, () => step(inputs))
      expect(repeated, `call ${call}`).toEqual(await numbersOf(model, () => bodyOf(model)(...inputs)))
      copyInto(model.weight, normal([20, 24], 100 + call))
    }
    expect(step.report()).toEqual({ recordings: 2, replays: 6, graphLaunches: 6, withoutGraph: [], refused: [] })
  })

  it.each(['late', 'early'])(
    'comes in order with what is uploaded and computed meanwhile (copies %s)',
    async (when) => {
      setEmulation('STREAMS', when)
      const model = modelOn()
      const step = await captured(model)
      const other = bodyOf(model)
      const expected: number[][][] = []
      for (let call = 0; call < 6; call++) expected.push(await numbersOf(model, () => other(...batchOf(call))))
      const reads: Promise<number[][]>[] = []
      for (let call = 0; call < 6; call++) {
        const inputs = batchOf(call)
        reads.push(numbersOf(model, () => step(inputs)))
        // Memory that comes and goes between two launches.
        for (let i = 0; i < 4; i++) full([40, 24], Number.NaN, { device: 'cuda' }).dispose()
        track(scale(inputs[0], { factor: 2 }))
        if (call === 3) step.dispose()
      }
      expect(await Promise.all(reads)).toEqual(expected)
    },
  )

  it('keeps memory in its place while there is a graph, shared by all of them', async () => {
    const model = modelOn()
    await captured(model)
    await settled()
    const first = memory('cuda').reservedBytes
    expect(first).toBeGreaterThan(0)
    releaseCached('cuda')
    const second = await captured(model)
    await settled()
    expect(memory('cuda').reservedBytes).toBe(first)
    const live = memory('cuda').liveBytes
    const inputs = batchOf(0)
    await settled()
    const withInputs = memory('cuda').liveBytes
    expect(withInputs).toBeGreaterThan(live)
    await numbersOf(model, () => second(inputs))
    await settled()
    expect(memory('cuda').liveBytes).toBe(withInputs)
  })

  it('works on two GPUs at once', async () => {
    const models = gpus.map((device) => modelOn(device))
    const steps = await Promise.all(gpus.map((device, i) => captured(models[i]!, device)))
    for (const [i, device] of gpus.entries()) {
      const inputs = batchOf(1, device)
      const repeated = await numbersOf(models[i]!, () => steps[i]!(inputs))
      expect(repeated).toEqual(await numbersOf(models[i]!, () => bodyOf(models[i]!)(...inputs)))
      expect(steps[i]!.report()).toMatchObject({ graphLaunches: 3, withoutGraph: [] })
    }
  })

  it.each([
    ['cuStreamBeginCapture_v2=900', 'asked to capture, the CUDA driver says CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED'],
    ['cuStreamEndCapture=901', 'at the end of the capture, the CUDA driver says CUDA_ERROR_STREAM_CAPTURE_INVALIDATED'],
    ['cuGraphInstantiateWithFlags=2', 'made into a graph, the CUDA driver says CUDA_ERROR_OUT_OF_MEMORY'],
    ['cuGraphLaunch=2', 'its launch found no memory'],
  ])('is run op by op where %s', async (failure, reason) => {
    const model = modelOn()
    const step = track(repeatable(bodyOf(model)))
    for (let call = 0; call < 4; call++) await numbersOf(model, () => step(batchOf(call)))
    for (let call = 4; call < 8; call++) {
      const inputs = batchOf(call)
      const expected = await numbersOf(model, () => bodyOf(model)(...inputs))
      setEmulation('FAIL', failure)
      const found = await numbersOf(model, () => step(inputs))
      setEmulation('FAIL', '')
      expect(found).toEqual(expected)
    }
    const { graphLaunches, replays, withoutGraph } = step.report()
    expect([replays, graphLaunches, withoutGraph.length]).toEqual([4, 0, 1])
    expect(withoutGraph[0]).toContain(reason)
  })

  it('spoils its results where the driver refuses a launch, and goes on afterwards', async () => {
    const model = modelOn()
    const step = await captured(model)
    const inputs = batchOf(1)
    const expected = await numbersOf(model, () => bodyOf(model)(...inputs))
    setEmulation('FAIL', 'cuGraphLaunch=700')
    await expect(numbersOf(model, () => step(inputs))).rejects.toThrow('launching a CUDA graph')
    setEmulation('FAIL', '')
    expect(await numbersOf(model, () => step(inputs))).toEqual(expected)
  })

  it('spoils its results where something that it found has failed, and is no graph then', async () => {
    setEmulation('FAIL', 'cuLaunchKernel=1')
    const weight = normal([20, 24], 1)
    await expect(weight.read()).rejects.toThrow('randomNormal')
    setEmulation('FAIL', '')
    const step = track(repeatable((x): [Tensor] => [linear(x!, weight, null, null, null, null)]))
    for (let call = 0; call < 4; call++) {
      const [result] = step([batchOf(0)[0]]).map(track)
      await expect(result!.read()).rejects.toThrow('randomNormal')
    }
    expect(step.report()).toEqual({ recordings: 1, replays: 2, graphLaunches: 0, withoutGraph: [], refused: [] })
  })

  it('gives its memory up when others need it', async () => {
    const model = modelOn()
    const step = await captured(model)
    const inputs = batchOf(1)
    const expected = await numbersOf(model, () => bodyOf(model)(...inputs))
    await settled()
    const { liveBytes, reservedBytes } = memory('cuda')
    setMemoryLimit(liveBytes + reservedBytes, 'cuda')
    const large = track(full([Math.floor((reservedBytes * 7) / 32)], 1, { device: 'cuda' }))
    expect((await large.read())[0]).toBe(1)
    expect(memory('cuda').reservedBytes).toBe(0)
    large.dispose()
    setMemoryLimit(0, 'cuda')
    expect(await numbersOf(model, () => step(inputs))).toEqual(expected)
    expect(step.report().withoutGraph).toEqual(['memory ran short, and its graph was dropped'])
  })
})
