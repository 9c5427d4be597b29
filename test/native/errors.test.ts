import { openSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { add } from '../../lib/ops/add.ts'
import { full, randomNormal, tensor, zeros } from '../../lib/tensor/create.ts'
import { cudaUnavailable, setCpuTarget, setMemoryLimit, setThreadCount } from '../../lib/tensor/runtime.ts'
import { type Tensor, wrap } from '../../lib/tensor/tensor.ts'
import { ArgumentError, DisposedError, NativeError } from '../../lib/util/errors.ts'

/** A [3, 2] view of a [2, 3] tensor with its axes exchanged. */
function transposed(): Tensor {
  const t = tensor([1, 2, 3, 4, 5, 6], [2, 3])
  return wrap(addon.view(t.handle, [3, 2], [1, 3], 0))
}

function thrownBy(body: () => unknown): unknown {
  try {
    body()
  } catch (error) {
    return error
  }
  return undefined
}

const mistakes: readonly {
  what: string
  call: () => unknown
  op: string
  argument: string
  expected: string
  received: string
}[] = [
  {
    what: 'a shape that does not fit',
    call: () => add(zeros([2, 3]), zeros([2])),
    op: 'add',
    argument: 'b',
    expected: 'broadcastable to [2, 3]',
    received: '[2]',
  },
  {
    what: 'a rank above that of the other input',
    call: () => add(zeros([3]), zeros([1, 3])),
    op: 'add',
    argument: 'b',
    expected: 'broadcastable to [3]',
    received: '[1, 3]',
  },
  {
    what: 'a dtype without arithmetic',
    call: () => add(zeros([2]), zeros([2], { dtype: 'int32' })),
    op: 'add',
    argument: 'b',
    expected: 'a float tensor',
    received: 'int32',
  },
  {
    what: 'a view that is not contiguous',
    call: () => add(transposed(), zeros([3, 2])),
    op: 'add',
    argument: 'a',
    expected: 'contiguous (call contiguous(x))',
    received: 'shape [3, 2] with strides [1, 3]',
  },
  {
    what: 'an empty tensor',
    call: () => add(wrap(addon.view(zeros([4]).handle, [0], [1], 0)), zeros([1])),
    op: 'add',
    argument: 'a',
    expected: 'not empty',
    received: '[0]',
  },
  {
    what: 'something that is no tensor',
    call: () => add(zeros([2]), 3 as unknown as Tensor),
    op: 'add',
    argument: 'b',
    expected: 'a Tensor',
    received: 'number',
  },
  {
    what: 'a missing argument',
    call: () => (add as unknown as (a: Tensor) => Tensor)(zeros([2])),
    op: 'add',
    argument: 'b',
    expected: 'a Tensor',
    received: 'nothing',
  },
  {
    what: 'a size of zero',
    call: () => full([2, 0], 1),
    op: 'full',
    argument: 'shape',
    expected: 'positive whole numbers',
    received: '[2, 0]',
  },
  {
    what: 'a size that is no whole number',
    call: () => randomNormal([1.5], { seed: 1 }),
    op: 'randomNormal',
    argument: 'shape',
    expected: 'positive whole numbers',
    received: '[1.5]',
  },
  {
    what: 'data of another length',
    call: () => tensor([1, 2, 3], [2]),
    op: 'tensor',
    argument: 'data',
    expected: '8 bytes for [2] float32',
    received: '12 bytes',
  },
  {
    what: 'numbers of a width no dtype has',
    call: () => tensor(new Float64Array(2), [4]),
    op: 'tensor',
    argument: 'data',
    expected: 'a typed array whose dtype is known, or options.dtype',
    received: 'a Float64Array',
  },
  {
    what: 'an unknown instruction set',
    call: () => setCpuTarget('baselin'),
    op: 'setCpuTarget',
    argument: 'name',
    expected: expect.stringContaining('one of baseline') as unknown as string,
    received: expect.stringContaining('"baselin". Did you mean') as unknown as string,
  },
  {
    what: 'a thread count of none',
    call: () => setThreadCount(0),
    op: 'setThreadCount',
    argument: 'count',
    expected: 'a whole number from 1 to 64',
    received: '0',
  },
  {
    what: 'a limit that is no number',
    call: () => setMemoryLimit(Number.NaN),
    op: 'setMemoryLimit',
    argument: 'bytes',
    expected: 'zero or more',
    received: 'NaN',
  },
]

describe('a mistake of the caller', () => {
  it.each(mistakes)(
    'is told with op, argument, expected and received: $what',
    ({ call, op, argument, expected, received }) => {
      const error = thrownBy(call)
      expect(error).toBeInstanceOf(ArgumentError)
      expect(error).toMatchObject({ op, argument, expected, received, code: 'ERR_ARGUMENT', exitCode: 2 })
    },
  )

  it('is told for a device that is not there', () => {
    if (cudaUnavailable() === null) return
    const error = thrownBy(() => tensor([1], [1], { device: 'cuda' })) as Error
    expect(error).toBeInstanceOf(NativeError)
    expect(error.message).toContain(cudaUnavailable()!)
    expect(thrownBy(() => tensor([1], [1], { device: 'gpu' as 'cuda' }))).toBeInstanceOf(ArgumentError)
  })

  it('is told for a tensor used after it was disposed', () => {
    const t = zeros([2, 2])
    t.dispose()
    t.dispose()
    expect(t.disposed).toBe(true)
    expect(String(t)).toBe('Tensor([2, 2], float32, disposed)')
    const error = thrownBy(() => add(t, zeros([2, 2])))
    expect(error).toBeInstanceOf(DisposedError)
    expect((error as Error).message).toMatch(/shape \[2, 2\].*return it from its scope or keep\(\) it/)
  })

  it('is told for a read of a view that is not contiguous', async () => {
    await expect(transposed().read()).rejects.toMatchObject({ op: 'read', expected: 'contiguous (call contiguous(x))' })
  })
})

describe('what only the library can get wrong', () => {
  it('is an error and no crash: foreign handles, views outside, too many axes', () => {
    expect(() => addon.layout({} as never)).toThrow('expected a tensor handle')
    expect(() => addon.read(Object.freeze({ shape: [1], dtype: 'float32' }) as never)).toThrow(
      'expected a tensor handle',
    )
    const t = zeros([4])
    expect(() => addon.view(t.handle, [5], [1], 0)).toThrow('outside its storage')
    expect(() => addon.view(t.handle, [2], [1], 3)).toThrow('outside its storage')
    expect(() => addon.view(t.handle, [2], [-1], 0)).toThrow('outside its storage')
    expect(() => addon.view(t.handle, [2 ** 31, 2 ** 31, 4], [2 ** 33, 2 ** 2, 1], 0)).toThrow('outside its storage')
    expect(() => addon.view(t.handle, [-2], [1], 0)).toThrow('a size must be zero or more')
    expect(() => addon.fill([1], 'float33' as never, 0)).toThrow('unknown dtype float33')
    expect(() => addon.fill([2, 2], 'float32', 'x' as never)).toThrow('expected a number')
    const many = full([1, 1, 1, 1, 1, 1], 1)
    expect(() => addon.addForward(many.handle, many.handle, 0)).toThrow('rank')
  })

  it('is told by the read that comes after, and by that one only', async () => {
    const t = wrap(addon.fileTensor(openEmptyFile(), 0, [4], 'float32'))
    const sum = add(t, t)
    await expect(sum.read()).rejects.toThrow(
      /fileTensor: the file is cut short: expected 16 bytes from byte 0, found 0/,
    )
    await expect(t.read()).rejects.toBeInstanceOf(NativeError)
    expect(await full([1], 7).read()).toEqual(Float32Array.of(7))
  })
})

function openEmptyFile(): number {
  return openSync(process.platform === 'win32' ? 'NUL' : '/dev/null', 'r')
}
