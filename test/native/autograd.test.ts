import { afterEach, describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { defineOp } from '../../lib/autograd/defineOp.ts'
import { grouped, recompute } from '../../lib/autograd/recompute.ts'
import { gradientsEnabled, noGrad } from '../../lib/autograd/tape.ts'
import { addon } from '../../lib/native/load.ts'
import { add } from '../../lib/ops/add.ts'
import { full, tensor } from '../../lib/tensor/create.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import { scope } from '../../lib/tensor/scope.ts'
import { type Tensor, wrap } from '../../lib/tensor/tensor.ts'
import { ArgumentError } from '../../lib/util/errors.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'

type Pair = readonly [a: Tensor, b: Tensor]
type NoOptions = Record<never, never>

/** a * b on the addon's elementwise kernel: an op that saves its inputs. */
const times = defineOp<Pair, Pair, NoOptions>('times', {
  inputs: ['a', 'b'],
  forward: ([a, b], _options, save) => {
    save(a, b)
    return wrap(addon.addForward(a.handle, b.handle, 2))
  },
  backward: (dy, [a, b], _options, needs) => [
    needs[0] ? wrap(addon.addForward(dy.handle, b.handle, 2)) : null,
    needs[1] ? wrap(addon.addForward(dy.handle, a.handle, 2)) : null,
  ],
})

/** a² + b by its reference composition alone. */
const squarePlus = defineOp<Pair, readonly [], NoOptions>('squarePlus', {
  inputs: ['a', 'b'],
  forward: ([a, b]) => noGrad(() => scope(() => add(times(a, a), b))),
  backward: 'reference',
  reference: ([a, b]) => add(times(a, a), b),
})

function leaf(...values: number[]): Tensor {
  const t = tensor(values, [values.length])
  t.requiresGrad = true
  return t
}
async function gradient(t: Tensor): Promise<number[]> {
  return Array.from((await t.grad!.read()) as Float32Array)
}
const ones = (count: number): Tensor => full([count], 1)

const made: Tensor[] = []
afterEach(() => {
  for (const t of made.splice(0)) t.dispose()
})

describe('backward', () => {
  it('adds what comes from all uses of a shared input', async () => {
    const x = leaf(2, 3)
    const loss = add(times(times(x, x), x), x) // x³ + x
    backward(loss, ones(2))
    expect(await gradient(x)).toEqual([13, 28])
  })

  it('waits for every branch before it goes through a node that several use', async () => {
    const x = leaf(2)
    const shared = times(x, x)
    const loss = add(times(shared, shared), shared) // x⁴ + x²
    backward(loss)
    expect(await gradient(x)).toEqual([4 * 8 + 2 * 2])
  })

  it('gives inputs of one op separate gradients, though the op passes one tensor to both', async () => {
    const [a, b] = [leaf(1), leaf(2)]
    backward(add(a, b))
    expect(a.grad).not.toBe(b.grad)
    a.grad!.dispose()
    expect(await gradient(b)).toEqual([1])
  })

  it('adds to what an earlier call left, until it is taken away', async () => {
    const x = leaf(3)
    backward(times(x, x))
    backward(times(x, x))
    expect(await gradient(x)).toEqual([12])
    x.grad!.dispose()
    x.grad = null
    backward(times(x, x))
    expect(await gradient(x)).toEqual([6])
  })

  it('starts from a given gradient, which stays its caller’s', async () => {
    const x = leaf(1, 2)
    const start = tensor([10, 100], [2])
    backward(times(x, x), start)
    expect(await gradient(x)).toEqual([20, 400])
    expect(start.disposed).toBe(false)
    expect(() => backward(times(x, x))).toThrow(
      'backward: loss must be a scalar, or a gradient must be given, received [2]',
    )
    expect(() => backward(times(x, x), ones(3))).toThrow('backward: gradient must be of shape [2], received [3]')
  })

  it('leaves alone what asks for no gradient', async () => {
    const x = leaf(2)
    const fixed = tensor([5], [1])
    backward(times(x, fixed))
    expect(fixed.grad).toBeNull()
    expect(await gradient(x)).toEqual([5])
    expect(() => backward(times(fixed, fixed))).toThrow('a result of ops on tensors with requiresGrad')
  })

  it('works for ops defined by their reference', async () => {
    const [a, b] = [leaf(3), leaf(4)]
    backward(times(squarePlus(a, b), b)) // (a² + b) b
    expect(await gradient(a)).toEqual([2 * 3 * 4])
    expect(await gradient(b)).toEqual([9 + 2 * 4])
  })

  it('refuses a graph that was consumed, and frees what it had begun', async () => {
    const before = await baselineBuffers()
    const x = leaf(2)
    const shared = times(x, x)
    const first = add(shared, shared)
    const second = times(shared, x)
    backward(first)
    const error = (() => {
      try {
        backward(second)
      } catch (thrown) {
        return thrown
      }
      return undefined
    })()
    expect(error).toBeInstanceOf(ArgumentError)
    expect((error as Error).message).toContain(
      'a graph that has not been consumed yet, received one whose times was freed',
    )
    for (const t of [x, shared, first, second]) t.dispose()
    expect(await liveBuffers()).toBe(before)
  })

  it('frees what the graph saved, and every intermediate gradient', async () => {
    const before = await baselineBuffers()
    const x = leaf(1, 2, 3)
    const loss = scope(() => {
      let y: Tensor = x
      for (let i = 0; i < 10; i++) y = times(y, x)
      return y
    })
    expect(await liveBuffers()).toBeGreaterThan(before + 5)
    backward(loss, ones(3))
    expect(await liveBuffers()).toBe(before + 4) // x, its gradient, the loss, the ones
    x.dispose()
    loss.dispose()
    expect(await liveBuffers()).toBe(before + 1)
  })

  it('frees its intermediates when an op fails on the way', async () => {
    const failing = defineOp<readonly [x: Tensor], readonly [x: Tensor], NoOptions>('failing', {
      inputs: ['x'],
      forward: ([x], _options, save) => {
        save(x)
        return wrap(addon.addForward(x.handle, x.handle, 0))
      },
      backward: () => {
        throw new Error('no gradient today')
      },
    })
    const before = await baselineBuffers()
    const x = leaf(1)
    scope(() => {
      const loss = times(failing(x), x)
      expect(() => backward(loss)).toThrow('no gradient today')
    })
    x.dispose()
    expect(await liveBuffers()).toBe(before)
    expect(gradientsEnabled()).toBe(true)
  })
})

describe('noGrad', () => {
  it('records nothing, and recording is on again after a throw', () => {
    const x = leaf(1)
    expect(noGrad(() => times(x, x)).origin).toBeNull()
    expect(() =>
      noGrad(() => {
        throw new Error('stop')
      }),
    ).toThrow('stop')
    expect(times(x, x).origin).not.toBeNull()
  })
})

describe('recompute', () => {
  const layer = (x: Tensor, w: Tensor): Tensor => add(times(times(x, w), w), x)

  async function run(checkpointed: boolean): Promise<{ y: number[]; dx: number[]; dw: number[]; saved: number }> {
    const x = leaf(0.3, -1.7)
    const w = leaf(1.1, 0.9)
    const before = await baselineBuffers()
    const y = scope(() => {
      let h: Tensor = x
      for (let i = 0; i < 4; i++) h = checkpointed ? recompute([h], (input) => layer(input!, w)) : layer(h, w)
      return h
    })
    const saved = (await liveBuffers()) - before
    backward(y, ones(2))
    const result = {
      y: Array.from((await y.read()) as Float32Array),
      dx: await gradient(x),
      dw: await gradient(w),
      saved,
    }
    made.push(x, w, y)
    return result
  }

  it('gives bit for bit the same result and gradients, and saves less', async () => {
    const { saved: plain, ...expected } = await run(false)
    const { saved: few, ...found } = await run(true)
    expect(found).toEqual(expected)
    expect(few).toBeLessThan(plain)
  })

  it('sums the gradients of shared inputs as grouped does, bit for bit', async () => {
    const gradients = async (unit: typeof recompute): Promise<number[][]> => {
      const [x, shared] = [leaf(0.3, -1.7, 1e-3), leaf(1.1, 0.9, 0.7)]
      const y = scope(() => {
        let h: Tensor = add(x, shared)
        const skip = h
        for (let i = 0; i < 5; i++)
          h = unit([h, shared], (a, b) => add(times(add(a!, b!), times(a!, b!)), times(b!, b!)))
        return unit([h, skip, shared], (a, b, c) => add(times(a!, b!), times(c!, a!)))
      })
      backward(y, ones(3))
      made.push(x, shared, y)
      return [await gradient(x), await gradient(shared)]
    }
    expect(await gradients(recompute)).toEqual(await gradients(grouped))
    const ungrouped = await gradients((inputs, body) => scope(() => body(...inputs)))
    expect(ungrouped).not.toEqual(await gradients(grouped))
  })

  it('works inside itself', async () => {
    const x = leaf(2)
    backward(recompute([x], (a) => recompute([a!], (b) => times(times(b!, b!), a!)))) // x³
    expect(await gradient(x)).toEqual([12])
  })

  it('takes absent inputs, and a body that returns its input', async () => {
    const x = leaf(2)
    const same = recompute([x, null], (a, none) => {
      expect(none).toBeNull()
      return a!
    })
    expect(x.origin).toBeNull()
    backward(times(same, same))
    expect(await gradient(x)).toEqual([4])
  })

  it('leaves no buffer behind', async () => {
    const before = await baselineBuffers()
    const x = leaf(2)
    const y = recompute([x], (a) => times(a!, a!))
    backward(y)
    x.dispose()
    y.dispose()
    expect(await liveBuffers()).toBe(before)
  })
})

describe('an op without a kernel for its arguments', () => {
  it('falls back to its reference, counted, and refuses in strict mode', async () => {
    const { setStrict } = await import('../../lib/autograd/defineOp.ts')
    const slow = defineOp<Pair, readonly [], NoOptions>('slow', {
      inputs: ['a', 'b'],
      forward: () => {
        throw new Error('must not be called')
      },
      backward: 'reference',
      reference: ([a, b]) => times(a, b),
      unsupported: () => 'it is not written',
    })
    setStrict(false)
    const before = memory().fallbacks
    const x = leaf(3)
    backward(slow(x, x))
    expect(await gradient(x)).toEqual([6])
    expect(memory().fallbacks).toBe(before + 1)
    setStrict(true)
    expect(() => slow(x, x)).toThrow('slow: no kernel for this call (it is not written)')
  })
})
