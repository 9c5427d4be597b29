import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { add } from '../../lib/ops/add.ts'
import { mul } from '../../lib/ops/mul.ts'
import { sum } from '../../lib/ops/sum.ts'
import { full } from '../../lib/tensor/create.ts'
import { currentScope, keep, Scope, scope } from '../../lib/tensor/scope.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'

describe('scope', () => {
  it('disposes what was made inside and returns the result alive', async () => {
    const before = await baselineBuffers()
    let inner: Tensor | undefined
    const y = scope(() => {
      inner = full([2], 1)
      return add(inner, inner)
    })
    expect(inner!.disposed).toBe(true)
    expect(await y.read()).toEqual(Float32Array.of(2, 2))
    y.dispose()
    expect(await liveBuffers()).toBe(before)
  })

  it('finds results in arrays and plain objects, however deep', () => {
    const result = scope(() => ({ list: [full([1], 1), { deep: full([1], 2) }], count: 3, none: null }))
    const [first, second] = result.list as [Tensor, { deep: Tensor }]
    expect([first.disposed, second.deep.disposed]).toEqual([false, false])
    first.dispose()
    second.deep.dispose()
  })

  it('hands what an inner scope returns to the outer one', () => {
    let middle: Tensor | undefined
    const outer = scope(() => {
      middle = scope(() => full([1], 1))
      expect(middle.disposed).toBe(false)
      return add(middle, middle)
    })
    expect(middle!.disposed).toBe(true)
    expect(outer.disposed).toBe(false)
    outer.dispose()
  })

  it('spares what is kept, also by an inner scope', () => {
    let kept: Tensor | undefined
    scope(() => {
      scope(() => {
        kept = keep(full([1], 5))
      })
      expect(kept!.disposed).toBe(false)
    })
    expect(kept!.disposed).toBe(false)
    kept!.dispose()
  })

  it('frees what was recorded beside its result, and keeps what the result was made by', async () => {
    const before = await baselineBuffers()
    const x = full([2], 3)
    x.requiresGrad = true
    const squares = (aside: boolean): Tensor =>
      scope(() => {
        if (aside) mul(mul(x, x), x) // computed for nothing
        return sum(mul(x, x))
      })
    const plain = squares(false)
    const withPlain = await liveBuffers()
    const loss = squares(true)
    expect((await liveBuffers()) - withPlain).toBe(withPlain - before - 1)
    backward(loss)
    expect(await x.grad!.read()).toEqual(Float32Array.of(6, 6))
    backward(plain)
    for (const t of [loss, plain, x]) t.dispose()
    expect(await liveBuffers()).toBe(before)
  })

  it('frees what a consumed graph left over when the loss is returned', async () => {
    const before = await baselineBuffers()
    const x = full([2], 3)
    x.requiresGrad = true
    const loss = scope(() => {
      const square = mul(x, x)
      mul(square, square) // computed for nothing
      const loss = sum(square)
      backward(loss)
      return loss
    })
    for (const t of [loss, x]) t.dispose()
    expect(await liveBuffers()).toBe(before)
  })

  it('disposes everything when its body throws, and the surrounding scope goes on', () => {
    let made: Tensor | undefined
    scope(() => {
      const outer = currentScope()
      expect(() =>
        scope(() => {
          made = full([1], 1)
          throw new Error('stop')
        }),
      ).toThrow('stop')
      expect(currentScope()).toBe(outer)
    })
    expect(made!.disposed).toBe(true)
    expect(currentScope()).toBeNull()
  })

  it('works as a resource, and closing twice does nothing', () => {
    const opened = new Scope()
    const t = full([1], 1)
    opened[Symbol.dispose]()
    expect(t.disposed).toBe(true)
    opened.close()
    expect(currentScope()).toBeNull()
  })

  it('does not own what was made outside', () => {
    const outside = full([1], 1)
    scope(() => [add(outside, outside)])
      .at(0)!
      .dispose()
    expect(outside.disposed).toBe(false)
    outside.dispose()
  })

  it('releases the graph of a loss that nobody ran backward', async () => {
    const before = await baselineBuffers()
    const w = full([2], 1)
    w.requiresGrad = true
    scope(() => {
      add(add(w, w), w)
    })
    expect(await liveBuffers()).toBe(before + 1)
    const loss = scope(() => add(w, w))
    backward(loss, full([2], 1))
    expect(await w.grad!.read()).toEqual(Float32Array.of(2, 2))
    loss.dispose()
    w.dispose()
  })
})
