/** CUDA kernels, run in the emulation and compared with the CPU's in shapes and uses beside those of the op suites. */
import { afterEach, describe, expect, it } from 'vitest'
import type { Handle, MaybeHandle } from '../../lib/native/addon.ts'
import { addon } from '../../lib/native/load.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { FloatDType } from '../../lib/tensor/dtype.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import { elementCount, type Shape } from '../../lib/tensor/shape.ts'
import type { DeviceName, Tensor } from '../../lib/tensor/tensor.ts'
import { float16ToFloat32 } from '../../lib/util/float16.ts'
import { adamWStep } from '../support/adamWStep.ts'
import { canEmulate, orders, setEmulation } from '../support/emulatedGpu.ts'
import { expectClose, fromBFloat16Bits, pseudoRandom, type Tolerance } from '../support/float64.ts'
import { elementwiseTolerance, roundedTensor } from '../support/opSuite.ts'

const exact: Tolerance = { rms: 0, max: 0 }
const gradientTolerance: Tolerance = { rms: 2e-6, max: 2e-5, relative: 1e-5 }
const inputTolerance = {
  float32: gradientTolerance,
  bfloat16: { rms: 4e-3, max: 1.2e-2, relative: 2 ** -7 },
  float16: { rms: 5e-4, max: 1.5e-3, relative: 2 ** -10 },
} as const
const floats = ['float32', 'bfloat16', 'float16'] as const

let made: Tensor[] = []

/** The same pseudo-random numbers on either device; gone after the test. */
function random(name: string, shape: Shape, dtype: FloatDType, device: DeviceName, offset = 0): Tensor {
  const values = pseudoRandom(name, elementCount(shape)).map((x) => x + offset)
  const x = roundedTensor(values, shape, dtype, device)
  made.push(x)
  return x
}

function disposeAll(): void {
  for (const x of made) x.dispose()
  made = []
}

async function read(handle: Handle): Promise<Float32Array> {
  const data = await addon.read(handle)
  if (handle.dtype === 'float16') return float16ToFloat32(new Uint16Array(data))
  return handle.dtype === 'bfloat16' ? fromBFloat16Bits(new Uint16Array(data)) : new Float32Array(data)
}

function sameBits(a: Float32Array | null, b: Float32Array | null): boolean {
  return a === b || (a !== null && b !== null && Buffer.from(a.buffer).equals(Buffer.from(b.buffer)))
}

/** Runs `compute` on the CPU and, in every order of threads, on the emulated GPU, where results must not depend on the order. */
async function compare(
  compute: (device: DeviceName) => readonly MaybeHandle[],
  tolerances: Readonly<Record<string, Tolerance>>,
): Promise<void> {
  const results = async (device: DeviceName): Promise<(Float32Array | null)[]> => {
    const handles = compute(device)
    const values = await Promise.all(handles.map((handle) => handle && read(handle)))
    for (const handle of handles) if (handle) addon.dispose(handle)
    disposeAll()
    return values
  }
  const expected = await results('cpu')
  let first: (Float32Array | null)[] | undefined
  for (const order of orders) {
    setEmulation('ORDER', order)
    const actual = await results('cuda')
    first ??= actual
    const equal = actual.map((x, i) => sameBits(x, first![i]!))
    expect(equal, `bits in ${order} order`).toEqual(actual.map(() => true))
  }
  Object.entries(tolerances).forEach(([name, tolerance], i) => {
    const reference = expected[i]
    if (reference) expectClose(name, first![i]!, reference, tolerance)
    else expect(first![i]).toBeNull()
  })
}

describe.runIf(canEmulate)('ops on the GPU', () => {
  afterEach(() => {
    setEmulation('ORDER', 'forward')
    disposeAll()
  })

  // The first of them: what the others leave would be freed meanwhile.
  it('keeps no memory for tensors that are gone', async () => {
    const before = memory('cuda').liveBuffers
    const x = random('x', [2, 16, 64], 'float32', 'cuda')
    const [weight, bias] = [random('w', [64], 'float32', 'cuda'), random('b', [64], 'float32', 'cuda')]
    const outputs = addon.groupNormForward(x.handle, weight.handle, bias.handle, 32, 1e-5, true)
    await read(outputs[0])
    for (const t of [x, weight, bias]) t.dispose()
    for (const handle of outputs) addon.dispose(handle)
    const last = tensor([1], [1], { device: 'cuda' })
    await last.read()
    expect(memory('cuda').liveBuffers).toBe(before + 1)
    last.dispose()
  })

  describe.each(floats)('add in %s', (dtype) => {
    it.each([
      ['one element', [1], [1], dtype],
      ['an odd length', [3, 77], [3, 77], dtype],
      ['less than four', [3], [3], dtype],
      ['the last axis', [2, 5, 5, 19], [19], dtype],
      ['one number', [7, 9], [1], dtype],
      ['per sample and channel', [3, 4, 5, 7], [3, 1, 1, 7], dtype],
      ['float32 added to it', [9, 17], [9, 17], 'float32'],
      ['the embedding of a timestep', [2, 32, 32, 320], [2, 1, 1, 320], dtype],
      ['a residual', [1, 32, 32, 640], [1, 32, 32, 640], dtype],
    ] as const)('%s', async (name, shape, bShape, bDtype) => {
      await compare(
        (device) => {
          const [a, b] = [random(`a/${name}`, shape, dtype, device), random(`b/${name}`, bShape, bDtype, device)]
          return [0, 1, 2].map((op) => addon.addForward(a.handle, b.handle, op))
        },
        { 'a + b': exact, 'a - b': exact, 'a * b': exact },
      )
    })
    it('a view that begins anywhere', async () => {
      await compare(
        (device) => {
          const x = random('x', [100], dtype, device).handle
          return [addon.addForward(addon.view(x, [53], [1], 3), addon.view(x, [53], [1], 46), 0)]
        },
        { sum: exact },
      )
    })
  })

  describe.each(floats)('groupNormSilu in %s', (dtype) => {
    it.each([
      ['four groups', [2, 5, 7, 12], 4, dtype, 0],
      ['one channel each', [3, 9, 5], 5, dtype, 0],
      ['one group', [1, 600, 4], 1, 'float32', 0],
      ['one pixel', [2, 1, 6], 3, dtype, 0],
      ['several chunks, mean far from zero', [2, 17, 23, 70], 7, dtype, 3],
      ['the first level', [1, 64, 64, 320], 32, 'float32', 0],
      ['the lowest level', [2, 8, 8, 1280], 32, dtype, 0],
      ['concatenated channels', [1, 16, 16, 960], 32, dtype, 0],
    ] as const)('%s', async (name, shape, groups, parameters, offset) => {
      const c = shape.at(-1)!
      const inputs = (device: DeviceName): readonly [Handle, Handle, Handle, Handle] => [
        random(`x/${name}`, shape, dtype, device, offset).handle,
        random(`weight/${name}`, [c], parameters, device, 1).handle,
        random(`bias/${name}`, [c], parameters, device).handle,
        random(`dy/${name}`, shape, dtype, device).handle,
      ]
      for (const withSilu of elementCount(shape) < 100_000 ? [true, false] : [true]) {
        await compare(
          (device) => {
            const [x, weight, bias] = inputs(device)
            return addon.groupNormForward(x, weight, bias, groups, 1e-5, withSilu)
          },
          {
            y: dtype === 'float32' ? { rms: 4e-7, max: 4e-6, relative: 2e-6 } : elementwiseTolerance[dtype],
            mean: { rms: 1e-5, max: 1e-5 }, // of the means, which are much smaller than x
            rstd: { rms: 2e-7, max: 1e-6 },
          },
        )
        const backward = async (needs: readonly [boolean, boolean, boolean]): Promise<void> =>
          compare(
            (device) => {
              const [x, weight, bias, dy] = inputs(device)
              const [, mean, rstd] = addon.groupNormForward(x, weight, bias, groups, 1e-5, withSilu)
              return addon.groupNormBackward(dy, x, weight, bias, mean, rstd, groups, withSilu, ...needs)
            },
            {
              dx: inputTolerance[dtype],
              dweight: gradientTolerance,
              dbias: gradientTolerance,
            },
          )
        await backward([true, true, true])
        if (elementCount(shape) < 10_000) {
          await backward([true, false, false])
          await backward([false, false, true])
        }
      }
    })
  })

  describe('adamW8bit', () => {
    const hyperparameters = [
      { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 1e-2 },
      { learningRate: 2e-4, beta1: 0.8, beta2: 0.99, eps: 1e-6, weightDecay: 0 },
    ]
    const sizes = [1, 255, 256, 4097, 16_384, 20_011, 320 * 4]

    /** Three steps over tensors of all sizes; the middle ones keep float32 states. */
    async function train(
      device: DeviceName,
      clipped: boolean,
      skipInvalid: boolean,
      decayAfter: boolean,
    ): Promise<ArrayBuffer[]> {
      const slots = sizes.map((size, i) => {
        const codes = i !== 2 && i !== 3
        const zeros = (dtype: 'uint8' | 'float32', count: number): Tensor =>
          tensor(dtype === 'uint8' ? new Uint8Array(count) : new Float32Array(count), [count], { device })
        const state = (): Tensor => zeros(codes ? 'uint8' : 'float32', size)
        const absmax = (): Tensor | null => (codes ? zeros('float32', Math.ceil(size / 256)) : null)
        return {
          param: random(`param/${i}`, [size], 'float32', device),
          state1: state(),
          state2: state(),
          absmax1: absmax(),
          absmax2: absmax(),
          copy: i % 2 ? random('copy', [size], 'bfloat16', device) : null,
          group: i % 2,
        }
      })
      const clip = clipped ? tensor([4, 0.25], [2], { device }) : null
      for (let step = 1; step <= 3; step++) {
        const gradients = sizes.map((size, i) => {
          const values = pseudoRandom(`gradient/${i}/${step}`, size).map((x) => x ** 3)
          if (skipInvalid) values[size >> 1] = step === 2 ? Number.NaN : Number.POSITIVE_INFINITY
          if (size > 600) values.fill(0, 256, 512) // a block without any gradient
          return tensor(values, [size], { device })
        })
        const stepped = slots.map((slot, i) => ({ ...slot, gradient: gradients[i]!, step }))
        adamWStep(stepped, hyperparameters, { clip, skipInvalid, decayAfter })
      }
      const changed = slots.flatMap(({ param, state1, state2, absmax1, absmax2, copy }) => [
        param,
        state1,
        state2,
        absmax1,
        absmax2,
        copy,
      ])
      return Promise.all(changed.filter((x) => x !== null).map((x) => addon.read(x.handle)))
    }

    it.each([
      ['plain', false, false, false],
      ['clipped, decayed after the step', true, false, true],
      ['with gradients that are not finite', true, true, false],
    ] as const)('steps as on the CPU, bit by bit: %s', async (_name, clipped, skipInvalid, decayAfter) => {
      const expected = (await train('cpu', clipped, skipInvalid, decayAfter)).map((x) => Buffer.from(x))
      for (const order of orders) {
        setEmulation('ORDER', order)
        const actual = (await train('cuda', clipped, skipInvalid, decayAfter)).map((x) => Buffer.from(x))
        expect(actual.map((bytes, i) => bytes.equals(expected[i]!))).toEqual(expected.map(() => true))
      }
    })
    it('changes nothing when the norm of the gradients is not finite', async () => {
      const device = 'cuda'
      const ones = (): Tensor => tensor([1, 2, 3], [3], { device })
      const slot = { param: ones(), gradient: ones(), state1: ones(), state2: ones(), absmax1: null, absmax2: null }
      const clip = tensor([Number.POSITIVE_INFINITY, 0], [2], { device })
      adamWStep([{ ...slot, copy: null, group: 0, step: 1 }], hyperparameters, { clip })
      for (const x of [slot.param, slot.state1, slot.state2])
        expect(await x.read()).toEqual(Float32Array.from([1, 2, 3]))
    })
  })

  it('refuses tensors of two devices', () => {
    const [a, b] = [tensor([1], [1], { device: 'cuda' }), tensor([1], [1])]
    expect(() => addon.addForward(a.handle, b.handle, 0)).toThrow('add: its tensors must be on one device')
  })
})
