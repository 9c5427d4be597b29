import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { cast } from '../../lib/ops/cast.ts'
import { contiguous } from '../../lib/ops/contiguous.ts'
import { type LoadableType, type LoadParameterOptions, loadParameter } from '../../lib/ops/loadParameter.ts'
import { permute } from '../../lib/ops/permute.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { cpuTargets, memory, setCpuTarget, setThreadCount } from '../../lib/tensor/runtime.ts'
import { scope } from '../../lib/tensor/scope.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { float32ToBfloat16, float32ToFloat16 } from '../../lib/util/float16.ts'

/** Bytes before the tensor: files align it to nothing. */
const offset = 13
/** [o, i, kh, kw], of them one larger than a block of the kernel, and numbers of elements that end inside a vector. */
const shapes = [
  [1, 1, 1, 1],
  [3, 5, 1, 1],
  [7, 33, 3, 3],
  [2, 1037, 2, 5],
  [3, 15001, 3, 3],
  [5, 131, 7, 7],
  [9, 41003, 1, 1],
]
const types: readonly LoadableType[] = ['F64', 'F32', 'F16', 'BF16']

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'noisewright-load-'))
  addon.setMemoryGuards(true)
})
afterAll(() => {
  addon.setMemoryGuards(false)
  setThreadCount(2)
  setCpuTarget(cpuTargets().at(-1)!)
  rmSync(folder, { recursive: true })
})

/** Numbers of all sizes, with what is hard to round among them. */
function values(count: number): Float64Array {
  const special = [0, -0, 1e-45, 3e-8, 65504, 1.5 ** -140, 1 + 2 ** -8, 1 + 2 ** -8 + 2 ** -40, -1 - 2 ** -9]
  return Float64Array.from({ length: count }, (_, i) =>
    i % 37 < special.length && i > 40 ? special[i % 37]! : Math.sin(i * 12.9898) * 2 ** ((i % 31) - 15),
  )
}

/** What the device's arithmetic holds of a number: 0 for what is too small for a normal float. */
const flushed = (x: number): number => (Math.abs(x) < 2 ** -126 ? x * 0 : x)

function bytesOf(numbers: Float64Array, type: LoadableType): Uint8Array {
  const singles = Float32Array.from(numbers)
  const elements =
    type === 'F64'
      ? numbers
      : type === 'F32'
        ? singles
        : type === 'F16'
          ? float32ToFloat16(singles)
          : float32ToBfloat16(singles)
  return new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength)
}

/** `values` of a file of one tensor, through `loadParameter`; the file is closed before they are read. */
async function load(name: string, options: LoadParameterOptions): Promise<Uint8Array> {
  const descriptor = openSync(join(folder, name), 'r')
  const loaded = loadParameter({ descriptor, byteOffset: offset }, options)
  closeSync(descriptor)
  return bits(loaded)
}

async function bits(x: Tensor): Promise<Uint8Array> {
  const read = await x.read()
  x.dispose()
  return new Uint8Array(read.buffer, read.byteOffset, read.byteLength)
}

function write(name: string, bytes: Uint8Array): void {
  writeFileSync(join(folder, name), Buffer.concat([Buffer.alloc(offset, 7), bytes, Buffer.alloc(5, 9)]))
}

/** The nearest bfloat16 numbers, rounded once. */
function bfloat16Of(numbers: Float64Array): Uint16Array {
  const singles = Float32Array.from(numbers)
  const bits = new Uint32Array(singles.buffer)
  // A float exactly between two bfloat16 numbers that the double is not: a step back to the double's side.
  for (let i = 0; i < bits.length; i++) {
    const [single, exact] = [singles[i]!, numbers[i]!]
    if ((bits[i]! & 0xffff) === 0x8000 && single !== exact) bits[i]! += Math.abs(single) > Math.abs(exact) ? -1 : 1
  }
  return float32ToBfloat16(singles)
}

/** The nearest float16 numbers, rounded once: counted in steps of 2^-10 of their power of two, or of 2^-24. */
function float16Of(numbers: Float64Array): Uint16Array {
  const rounded = Float32Array.from(numbers, (x) => {
    const size = Math.abs(x)
    const step = 2 ** (Math.max(Math.floor(Math.log2(size)), -14) - 10)
    const [count, rest] = [Math.floor(size / step), (size / step) % 1]
    const up = rest > 0.5 || (rest === 0.5 && count % 2 === 1) ? 1 : 0
    return Number.isFinite(x) ? (x < 0 || Object.is(x, -0) ? -1 : 1) * (count + up) * step : x
  })
  return float32ToFloat16(rounded)
}

const halvesOf = { bfloat16: bfloat16Of, float16: float16Of }

describe.each(cpuTargets())('loadParameter on %s', (target) => {
  it.each(types)('reads %s as cast and contiguous do', async (fileDType) => {
    setCpuTarget(target)
    for (const [index, fileShape] of shapes.entries()) {
      const count = fileShape.reduce((a, b) => a * b)
      const numbers = fileDType === 'F64' ? values(count).map(flushed) : values(count)
      const bytes = bytesOf(numbers, fileDType)
      const name = `${fileDType}-${index}`
      write(name, bytes)
      const [o, i, kh, kw] = fileShape as [number, number, number, number]
      for (const layout of ['same', 'conv'] as const)
        for (const dtype of ['float32', 'bfloat16', 'float16'] as const) {
          const shape = layout === 'conv' ? [o, kh, kw, i] : fileShape
          const expected = await bits(
            scope(() => {
              const inFile =
                fileDType === 'F64'
                  ? dtype === 'float32'
                    ? tensor(Float32Array.from(numbers), fileShape)
                    : tensor(halvesOf[dtype](numbers), fileShape, { dtype })
                  : tensor(bytes, fileShape, {
                      dtype: fileDType === 'F32' ? 'float32' : fileDType === 'F16' ? 'float16' : 'bfloat16',
                    })
              return cast(layout === 'conv' ? contiguous(permute(inFile, { axes: [0, 2, 3, 1] })) : inFile, { dtype })
            }),
          )
          for (const threads of [1, 2]) {
            setThreadCount(threads)
            const actual = await load(name, { fileDType, shape, layout, dtype })
            expect(Buffer.compare(actual, expected), `${name} ${layout} ${dtype}, ${threads} threads`).toBe(0)
          }
        }
    }
    expect(memory().guardViolations).toBe(0)
  })
})

describe('loadParameter', () => {
  it('rounds doubles to bfloat16 once', async () => {
    const numbers = Float64Array.from([
      1 + 2 ** -8 + 2 ** -40,
      1 + 2 ** -8,
      1 + 2 ** -8 - 2 ** -40,
      Infinity,
      1e300,
      -1e-300,
      0,
    ])
    write('doubles', bytesOf(numbers, 'F64'))
    const loaded = await load('doubles', { fileDType: 'F64', shape: [7], dtype: 'bfloat16' })
    expect([...new Uint16Array(loaded.buffer, loaded.byteOffset, 7)]).toEqual([
      0x3f81, 0x3f80, 0x3f80, 0x7f80, 0x7f80, 0x8000, 0,
    ])
  })

  it('rounds doubles to float16 once', async () => {
    const numbers = [1 + 2 ** -11 + 2 ** -40, 1 + 2 ** -11, 65519.9999999, 65520, -(2 ** -25) - 2 ** -60, 2 ** -25, 0]
    write('doubles16', bytesOf(Float64Array.from(numbers), 'F64'))
    const loaded = await load('doubles16', { fileDType: 'F64', shape: [7], dtype: 'float16' })
    expect([...new Uint16Array(loaded.buffer, loaded.byteOffset, 7)]).toEqual([
      0x3c01, 0x3c00, 0x7bff, 0x7c00, 0x8001, 0, 0,
    ])
  })

  it.each([
    ['same', [40, 9000, 3, 3]],
    ['conv', [40, 3, 3, 9000]],
  ] as const)('says how much of a file that is cut short there is, layout %s', async (layout, shape) => {
    const count = 40 * 9000 * 9
    write('short', new Uint8Array(2 * count))
    truncateSync(join(folder, 'short'), offset + 2 * count - 1000)
    for (const threads of [1, 2]) {
      setThreadCount(threads)
      await expect(load('short', { fileDType: 'F16', shape, layout, dtype: 'float32' })).rejects.toThrow(
        `loadParameter: the file is cut short: expected ${2 * count} bytes from byte ${offset}, found ${2 * count - 1000}`,
      )
    }
  })

  it('refuses what is not open, and what it cannot convert', () => {
    const options = { fileDType: 'F32', shape: [2], dtype: 'float32' } as const
    expect(() => loadParameter({ descriptor: 99999, byteOffset: 0 }, options)).toThrow('the file is not open')
    expect(() =>
      loadParameter({ descriptor: 0, byteOffset: 0 }, { ...options, fileDType: 'I32' as LoadableType }),
    ).toThrow('loadParameter: fileDType must be one of F64, F32, F16, BF16, F8_E4M3, received I32')
    expect(() => loadParameter({ descriptor: 0, byteOffset: 0 }, { ...options, layout: 'conv' })).toThrow('of 4 axes')
  })
})
