import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import type { RefusedStep } from '../../lib/autograd/recorder.ts'
import { type Repeatable, repeatable } from '../../lib/autograd/repeatable.ts'
import { copyInto } from '../../lib/ops/accumulate.ts'
import { add } from '../../lib/ops/add.ts'
import { conv2d } from '../../lib/ops/conv2d.ts'
import { dropout } from '../../lib/ops/dropout.ts'
import { linear as linearOp } from '../../lib/ops/linear.ts'
import { mul } from '../../lib/ops/mul.ts'
import { reshape } from '../../lib/ops/reshape.ts'
import { scale } from '../../lib/ops/scale.ts'
import { silu } from '../../lib/ops/silu.ts'
import { sum } from '../../lib/ops/sum.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { memory, releaseCached, setMemoryLimit } from '../../lib/tensor/runtime.ts'
import { keep, scope } from '../../lib/tensor/scope.ts'
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

const linear = (x: Tensor, w: Tensor, b: Tensor): Tensor => linearOp(x, w, b, null, null, null)

describe('a step is refused', () => {
  let kept: Tensor | null = null
  afterEach(() => {
    kept?.dispose()
    kept = null
  })
  let seed = 0n

  it.each<[string, RefusedStep, (x: Tensor) => readonly Tensor[]]>([
    [
      'random numbers',
      { op: 'dropout', reason: 'depends on the call: on a seed, a counter, a rate, or data of the host' },
      (x) => [dropout(x, { p: 0.5, seed: seed++, stream: 0n })],
    ],
    [
      'data of the host',
      { op: 'fromBytes', reason: 'depends on the call: on a seed, a counter, a rate, or data of the host' },
      (x) => [add(x, tensor([Number(seed++), 0], [2]))],
    ],
    [
      'a read',
      { op: 'read', reason: 'depends on the call: on a seed, a counter, a rate, or data of the host' },
      (x) => {
        void x.read()
        return [scale(x, { factor: 2 })]
      },
    ],
    [
      'a change of its input',
      { op: 'copyInto', reason: 'changes an input of the step in place' },
      (x) => {
        copyInto(x, scale(x, { factor: 1.5 }))
        return [scale(x, { factor: 2 })]
      },
    ],
    [
      'a tensor that it keeps',
      { op: 'tensor', reason: 'outlives the step that made it, and is none of its results' },
      (x) => {
        kept?.dispose()
        kept = keep(scale(x, { factor: 3 }))
        return [scale(x, { factor: 2 })]
      },
    ],
    [
      'a result that it keeps a view of',
      { op: 'tensor', reason: 'outlives the step that made it, and is none of its results' },
      (x) => {
        const y = scale(x, { factor: 2 })
        kept?.dispose()
        kept = keep(reshape(y, { shape: [1, 2] }))
        return [y]
      },
    ],
    [
      'a result that it did not make',
      { op: 'result', reason: 'is not made by the step: it is an input, or was there before' },
      () => [reshape(weight, { shape: [35] })],
    ],
  ])('for %s, and runs as JavaScript says', async (_, expected, use) => {
    const refused: RefusedStep[] = []
    const step: Repeatable<readonly Tensor[]> = track(
      repeatable((x) => scope(() => use(x!)), { onRefused: (why) => refused.push(why) }),
    )
    weight.requiresGrad = false
    const run = async (call: (x: Tensor) => readonly Tensor[]): Promise<unknown> => {
      const results = call(track(tensor([1, 2], [2])))
      const found = await Promise.all([...results, ...(kept ? [kept] : [])].map((t) => t.read()))
      for (const result of results) result.dispose()
      return found
    }
    seed = 0n
    const found: unknown[] = []
    for (let call = 0; call < 4; call++) found.push(await run((x) => step([x])))
    seed = 0n
    const plain: unknown[] = []
    for (let call = 0; call < 4; call++) plain.push(await run((x) => scope(() => use(x))))
    expect(found).toEqual(plain)
    expect([refused, step.report()]).toMatchObject([[expected], { replays: 0, refused: [expected] }])
  })

  it('for a history that began before it', async () => {
    const refused: RefusedStep[] = []
    const shared = { h: weight }
    const step = track(
      repeatable(
        (x): [Tensor] => {
          const loss = sum(mul(x!, shared.h))
          backward(loss)
          return [loss]
        },
        { onRefused: (why) => refused.push(why) },
      ),
    )
    const x = normal([4, 5], 80)
    for (let call = 0; call < 3; call++) {
      shared.h = linear(normal([4, 7], 81), weight, bias)
      track(step([x])[0])
      shared.h.dispose()
    }
    expect(refused).toMatchObject([{ op: 'mul' }])
    for (const leaf of [weight, bias]) leaf.grad?.dispose()
    for (const leaf of [weight, bias]) leaf.grad = null
  })

  it('never for a result that could still be differentiated: that is an error', async () => {
    const step = track(repeatable((x): [Tensor] => [linear(x!, weight, bias)]))
    expect(() => step([normal([4, 7], 90)])).toThrow('repeatable: result must be without history')
    expect(() => step([normal([4, 7], 91)])).toThrow('repeatable: result must be without history')
    expect(() => step([null])).toThrow('at least one tensor')
  })

  it('never for an error of its own, which is thrown', async () => {
    let fails = false
    const step = track(
      repeatable((x): [Tensor] => {
        const y = silu(x!)
        if (fails) throw new RangeError('enough')
        return [scale(y, { factor: 2 })]
      }),
    )
    const x = track(tensor([1, 2], [2]))
    track(step([x])[0])
    fails = true
    expect(() => step([x])).toThrow('enough')
    fails = false
    const results = [0, 1, 2].map(() => track(step([x])[0]))
    expect(await results[2]!.read()).toEqual(await results[0]!.read())
  })
})

describe('a failure inside a replay', () => {
  it('spoils what it would have made, and nothing else', async () => {
    const large = 1 << 20
    const step = track(
      repeatable((x, y): [Tensor, Tensor] => {
        const big = conv2d(x!, y!, null, null, null)
        return [scale(x!, { factor: 2 }), sum(big)]
      }),
    )
    const inputs = [normal([1, 32, 32, 4], 1), normal([1024, 1, 1, 4], 2)]
    const calls = [0, 1].map(() => step(inputs).map(track))
    await calls[1]![1]!.read()
    await settled()
    releaseCached()
    try {
      setMemoryLimit(memory().liveBytes + large)
      const [small, spoilt] = step(inputs).map(track)
      expect((await small!.read()).length).toBe(32 * 32 * 4)
      await expect(spoilt!.read()).rejects.toThrow(
        /conv2d: out of memory: needed \d+ bytes[\s\S]*refusedSteps\.test\.ts/,
      )
    } finally {
      setMemoryLimit(0)
    }
    const again = step(inputs).map(track)
    expect(await again[1]!.read()).toEqual(await calls[0]![1]!.read())
  })

  it('is that of an input too', async () => {
    const step = track(repeatable((x): [Tensor] => [scale(x!, { factor: 2 })]))
    for (let call = 0; call < 2; call++) track(step([normal([4096], call)])[0])
    await settled()
    releaseCached()
    setMemoryLimit(1)
    const spoilt = normal([4096], 5)
    await expect(spoilt.read()).rejects.toThrow('out of memory')
    setMemoryLimit(0)
    await expect(track(step([spoilt])[0]).read()).rejects.toThrow('out of memory')
    const x = normal([4096], 6)
    expect((await track(step([x])[0]).read())[0]).toBeCloseTo(2 * Number((await x.read())[0]), 5)
    expect(step.report().replays).toBe(1)
  })
})
