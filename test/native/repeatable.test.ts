import { beforeEach, describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { recompute } from '../../lib/autograd/recompute.ts'
import { repeatable } from '../../lib/autograd/repeatable.ts'
import { copyInto } from '../../lib/ops/accumulate.ts'
import { add } from '../../lib/ops/add.ts'
import { linear as linearOp } from '../../lib/ops/linear.ts'
import { mseLoss } from '../../lib/ops/mseLoss.ts'
import { mul } from '../../lib/ops/mul.ts'
import { reshape } from '../../lib/ops/reshape.ts'
import { scale } from '../../lib/ops/scale.ts'
import { silu } from '../../lib/ops/silu.ts'
import { sum } from '../../lib/ops/sum.ts'
import { full, tensor } from '../../lib/tensor/create.ts'
import { memory, resetPeak } from '../../lib/tensor/runtime.ts'
import { scope } from '../../lib/tensor/scope.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { settled } from '../support/device.ts'
import { ownTensors } from '../support/ownTensors.ts'

const { track, normal } = ownTensors()
let weight: Tensor
let bias: Tensor

beforeEach(() => {
  weight = normal([5, 7], 1)
  bias = normal([5], 2)
  for (const parameter of [weight, bias]) parameter.requiresGrad = true
})

/** Forward, loss, backward. */
function body(x: Tensor | null, target: Tensor | null): [Tensor] {
  const hidden = silu(linear(x!, weight, bias))
  const loss = mseLoss(mul(hidden, hidden), target!, null)
  backward(loss)
  return [loss]
}

/** Loss and gradients of a call, whose gradients are cleared. */
async function numbersOf(run: () => readonly Tensor[]): Promise<number[][]> {
  const results = scope(run)
  const read = await Promise.all(
    [...results, weight.grad!, bias.grad!].map(async (t) => Array.from(await t.read(), Number)),
  )
  for (const result of results) result.dispose()
  for (const leaf of [weight, bias]) {
    leaf.grad?.dispose()
    leaf.grad = null
  }
  return read
}

const linear = (x: Tensor, w: Tensor, b: Tensor): Tensor => linearOp(x, w, b, null, null, null)

const shapes = [
  [3, 7],
  [8, 7],
] as const

function batch(seed: number, shape: readonly number[]): [Tensor, Tensor] {
  return [normal(shape, seed), normal([shape[0]!, 5], seed + 1)]
}

describe('a repeated step', () => {
  it('gives the bits of a step that is run, for shapes in alternation and parameters that change', async () => {
    const step = track(repeatable(body))
    for (let call = 0; call < 10; call++) {
      const inputs = batch(10 + 2 * call, shapes[call % 2]!)
      expect(await numbersOf(() => step(inputs)), `call ${call}`).toEqual(await numbersOf(() => body(...inputs)))
      copyInto(weight, normal([5, 7], 100 + call))
    }
    expect(step.report()).toMatchObject({ recordings: 2, replays: 6, refused: [] })
  })

  it('runs its body twice for each of the shapes, and not again', () => {
    let calls = 0
    const step = track(
      repeatable((x): [Tensor] => {
        calls++
        return [scale(x!, { factor: 2 })]
      }),
    )
    for (let call = 0; call < 8; call++) track(step([normal(shapes[call % 2]!, call)])[0])
    expect(calls).toBe(4)
  })

  it('adds gradients of several calls in the order in which running adds them', async () => {
    // Used twice in a call: each use adds to what is there.
    const twice = (x: Tensor | null): [Tensor] => {
      const loss = sum(mul(linear(x!, weight, bias), linear(scale(x!, { factor: 3 }), weight, bias)))
      backward(loss)
      return [loss]
    }
    const step = track(repeatable(twice))
    const inputs = [31, 32, 33, 34].map((seed) => normal([4, 7], seed))
    const all = (run: (x: Tensor) => readonly Tensor[]) => (): Tensor[] => inputs.flatMap((x) => run(x))
    expect(await numbersOf(all((x) => step([x])))).toEqual(await numbersOf(all(twice)))
  })

  it('passes gradients on to what made its inputs, and adds those of inputs that learn', async () => {
    const head = (h: Tensor | null, shift: Tensor | null): [Tensor] => {
      const loss = sum(mul(add(h!, shift!), add(h!, shift!)))
      backward(loss)
      return [loss]
    }
    const shift = normal([4, 5], 41)
    shift.requiresGrad = true
    const step = track(repeatable(head))
    const run = (use: (h: Tensor) => readonly Tensor[]) => (): readonly Tensor[] =>
      scope(() => use(linear(normal([4, 7], 42), weight, bias)))
    for (let call = 0; call < 4; call++) {
      const repeated = await numbersOf(run((h) => step([h, shift])))
      const shiftGradient = await shift.grad!.read()
      shift.grad!.dispose()
      shift.grad = null
      expect(repeated, `call ${call}`).toEqual(await numbersOf(run((h) => head(h, shift))))
      expect(shiftGradient).toEqual(await shift.grad!.read())
      shift.grad!.dispose()
      shift.grad = null
    }
    expect(step.report().replays).toBe(2)
  })

  it('may recompute what it does not keep', async () => {
    const checkpointed = (x: Tensor | null, target: Tensor | null): [Tensor] => {
      const hidden = recompute([x], (h) => silu(linear(h!, weight, bias)))
      const loss = mseLoss(hidden, target!, null)
      backward(loss)
      return [loss]
    }
    const step = track(repeatable(checkpointed))
    for (let call = 0; call < 4; call++) {
      const inputs = batch(50 + 2 * call, [3, 7])
      expect(await numbersOf(() => step(inputs))).toEqual(await numbersOf(() => checkpointed(...inputs)))
    }
    expect(step.report()).toMatchObject({ replays: 2, refused: [] })
  })

  it('leaves results of earlier calls as they are', async () => {
    const step = track(
      repeatable((x): [Tensor, Tensor] => [
        scale(x!, { factor: 2 }),
        reshape(scale(x!, { factor: 3 }), { shape: [2, 1] }),
      ]),
    )
    const results = [1, 2, 3, 4, 5].map((value) => step([track(tensor([value, -value], [2]))]).map(track))
    for (const [i, [two, three]] of results.entries()) {
      expect(Array.from(await two!.read(), Number)).toEqual([2 * (i + 1), -2 * (i + 1)])
      expect(three!.shape).toEqual([2, 1])
      expect(Array.from(await three!.read(), Number)).toEqual([3 * (i + 1), -3 * (i + 1)])
    }
  })

  it('needs no more memory than the step that is run', async () => {
    const layers = (x: Tensor | null): [Tensor] => {
      let h = x!
      for (let i = 0; i < 20; i++) h = scope(() => silu(h))
      return [scope(() => sum(h))]
    }
    const step = track(repeatable((x) => scope(() => layers(x))))
    const x = normal([1 << 16], 3)
    const peak = async (run: () => readonly Tensor[]): Promise<number> => {
      await settled()
      const before = memory().liveBytes
      resetPeak()
      for (const result of run()) result.dispose()
      await settled()
      expect(memory().liveBytes, 'kept').toBe(before)
      return memory().peakBytes - before
    }
    const runs: number[] = []
    for (let call = 0; call < 5; call++) runs.push(await peak(() => step([x])))
    expect(step.report().replays).toBe(3)
    // Called, the step holds what JavaScript has not let go of when the device gets there. A replay never does: input and result of an op.
    expect(Math.max(...runs.slice(2))).toBeLessThan(3 * x.size * 4)
    expect(Math.max(...runs)).toBeLessThan(23 * x.size * 4)
  })

  it('drops the shapes that were not used for longest', () => {
    let calls = 0
    const step = track(
      repeatable(
        (x): [Tensor] => {
          calls++
          return [scale(x!, { factor: 2 })]
        },
        { maxRecordings: 2 },
      ),
    )
    const run = (size: number): void => track(step([full([size], 1)].map(track))[0]) && undefined
    for (const size of [1, 1, 1, 2, 2, 2, 1, 3, 3]) run(size)
    expect([calls, step.report().recordings]).toEqual([6, 2])
    for (const size of [1, 3, 2]) run(size)
    expect(calls).toBe(7)
  })

  it('tells calls apart by their key', async () => {
    let factor = 2
    const step = track(repeatable((x): [Tensor] => [scale(x!, { factor })]))
    const x = track(tensor([1], [1]))
    const run = async (): Promise<number> => Number((await track(step([x], String(factor))[0]).read())[0])
    const found: number[] = []
    for (factor of [2, 2, 2, 3, 3, 3, 2]) found.push(await run())
    expect(found).toEqual([2, 2, 2, 3, 3, 3, 2])
  })

  it('goes on when it is disposed while runs of it are queued', async () => {
    const step = repeatable(body)
    const inputs = batch(60, [3, 7])
    const expected = await numbersOf(() => body(...inputs))
    for (let call = 0; call < 2; call++) await numbersOf(() => step(inputs))
    const queued = numbersOf(() => {
      const results = step(inputs)
      step.dispose()
      return results
    })
    expect(await queued).toEqual(expected)
    expect(step.report().recordings).toBe(0)
    expect(await numbersOf(() => step(inputs))).toEqual(expected)
    step.dispose()
  })
})

describe('a step is recorded anew', () => {
  it.each([
    [
      'was replaced',
      () => {
        weight.dispose()
        weight = normal([5, 7], 71)
        weight.requiresGrad = true
      },
    ],
    [
      'began to learn',
      () => {
        bias.requiresGrad = true
      },
    ],
  ])('when a tensor that it found %s', async (_, change) => {
    bias.requiresGrad = false
    const step = track(repeatable(body))
    const inputs = batch(70, [3, 7])
    const run = (use: (...all: [Tensor, Tensor]) => readonly Tensor[]) => async (): Promise<unknown[]> => {
      const results = scope(() => use(...inputs))
      const found = await Promise.all([...results, weight.grad, bias.grad].map((t) => t?.read()))
      for (const t of [...results, weight.grad, bias.grad]) t?.dispose()
      weight.grad = bias.grad = null
      return found
    }
    const [repeated, plain] = [run((x, target) => step([x, target])), run(body)]
    for (let call = 0; call < 3; call++) await repeated()
    change()
    const expected = await plain()
    for (let call = 0; call < 3; call++) expect(await repeated(), `call ${call}`).toEqual(expected)
    expect(step.report()).toMatchObject({ recordings: 1, replays: 2 })
  })
})
