import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { add } from '../../lib/ops/add.ts'
import { cast } from '../../lib/ops/cast.ts'
import { conv2d } from '../../lib/ops/conv2d.ts'
import { linear } from '../../lib/ops/linear.ts'
import { mseLoss } from '../../lib/ops/mseLoss.ts'
import { storeParameter } from '../../lib/ops/storeParameter.ts'
import { full, randomNormal } from '../../lib/tensor/create.ts'
import type { FloatDType } from '../../lib/tensor/dtype.ts'
import { cpuTargets, memory, setCpuTarget } from '../../lib/tensor/runtime.ts'
import { scope } from '../../lib/tensor/scope.ts'
import type { Shape } from '../../lib/tensor/shape.ts'
import type { DeviceName, Tensor } from '../../lib/tensor/tensor.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { canEmulate } from '../support/emulatedGpu.ts'

interface Case {
  readonly name: string
  readonly x: Shape
  readonly weight: Shape
  readonly run: (x: Tensor, weight: Tensor, low: readonly [Tensor, Tensor]) => Tensor
}

const cases: readonly Case[] = [
  {
    name: 'a projection with a low-rank branch and an activation',
    x: [13, 37],
    weight: [29, 37],
    run: (x, weight, [down, up]) => linear(x, weight, null, null, down, up, { activation: 'silu', loraScale: 0.5 }),
  },
  {
    name: 'a convolution of stride 2',
    x: [2, 9, 7, 5],
    weight: [11, 3, 3, 5],
    run: (x, weight) => conv2d(x, weight, null, null, null, { stride: 2, padding: 1 }),
  },
  {
    name: 'a fast convolution',
    x: [1, 33, 32, 32],
    weight: [33, 3, 3, 32],
    run: (x, weight) => conv2d(x, weight, null, null, null, { padding: 1, keepTransformed: false }),
  },
  {
    name: 'a fast convolution that keeps transformed weights',
    x: [1, 33, 32, 32],
    weight: [33, 3, 3, 32],
    run: (x, weight) => conv2d(x, weight, null, null, null, { padding: 1, keepTransformed: true }),
  },
]

/** Result and gradients for a weight in 8 bits, or for the same numbers in the type of x. */
async function results(each: Case, dtype: FloatDType, device: DeviceName, stored: boolean): Promise<unknown[]> {
  const made: Tensor[] = []
  const random = (shape: Shape, stream: number, kind: FloatDType): Tensor => {
    const t = cast(randomNormal(shape, { seed: 7, stream, device }), { dtype: kind })
    made.push(t)
    return t
  }
  const [out, inner] = [each.weight[0]!, each.weight.at(-1)!]
  const x = random(each.x, 0, dtype)
  const low = [random([3, inner], 1, 'float32'), random([out, 3], 2, 'float32')] as const
  for (const leaf of [x, ...low]) leaf.requiresGrad = true
  const narrow = cast(random(each.weight, 3, 'float32'), { dtype: 'float8_e4m3fn' })
  const weight = stored ? narrow : cast(narrow, { dtype })
  const y = each.run(x, weight, low)
  const target = full(y.shape, 0.25, { device })
  const loss = mseLoss(y, target, null)
  backward(loss)
  made.push(narrow, weight, y, target, loss)
  const read = [y, x.grad, ...(each.weight.length === 2 ? low.map(({ grad }) => grad) : [])]
  const numbers = await Promise.all(read.map((t) => t!.read()))
  for (const t of made) t.dispose()
  return numbers
}

function equalsExpanded(device: DeviceName): void {
  for (const each of cases)
    it.each<FloatDType>(['float32', 'bfloat16', 'float16'])(
      `${each.name} gives the same bits, in %s`,
      async (dtype) => {
        const expected = await results(each, dtype, device, false)
        expect(await results(each, dtype, device, true)).toEqual(expected)
      },
    )
}

describe.each(cpuTargets())('weights in 8 bits on %s', (target) => {
  it('are what the target reads', () => {
    setCpuTarget(target)
  })
  equalsExpanded('cpu')
})
describe.runIf(canEmulate)('weights in 8 bits on the emulated GPU', () => equalsExpanded('cuda'))

describe('weights in 8 bits', () => {
  it('leave nothing behind, and take a byte for each number', async () => {
    const buffers = await baselineBuffers()
    const before = memory('cpu').liveBytes
    const weight = scope(() => cast(full([64, 1024], 0.3), { dtype: 'float8_e4m3fn' }))
    const y = scope(() => linear(full([4, 1024], 1), weight, null, null, null, null))
    await y.read()
    y.dispose()
    expect(await liveBuffers()).toBe(buffers + 1)
    expect(memory('cpu').liveBytes - before).toBeLessThan(64 * 1024 + 4096)
    weight.dispose()
    expect(await liveBuffers()).toBe(buffers)
  })
  it('become files of any float type', async () => {
    const weight = cast(randomNormal([4, 3, 3, 5], { seed: 2 }), { dtype: 'float8_e4m3fn' })
    for (const dtype of ['float32', 'bfloat16'] as const) {
      const expected = await storeParameter(cast(weight, { dtype }), { layout: 'conv', dtype }).read()
      expect(await storeParameter(weight, { layout: 'conv', dtype }).read()).toEqual(expected)
    }
  })
  it('are refused where an op computes with them', () => {
    const weight = cast(randomNormal([4], { seed: 2 }), { dtype: 'float8_e4m3fn' })
    expect(() => add(weight, weight)).toThrow('float8_e4m3fn')
  })
})
