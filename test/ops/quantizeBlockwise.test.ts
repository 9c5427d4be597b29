import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { dequantizeBlockwise, quantizationMap, quantizeBlockwise } from '../../lib/ops/quantizeBlockwise.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'
import { cpuTargets, memory, setCpuTarget, setThreadCount } from '../../lib/tensor/runtime.ts'
import { pseudoRandom } from '../support/float64.ts'

beforeAll(() => addon.setMemoryGuards(true))
afterAll(() => {
  addon.setMemoryGuards(false)
  setThreadCount(2)
})

async function mapOf(signed: boolean): Promise<Float32Array> {
  return (await quantizationMap({ signed }).read()) as Float32Array
}

/** The number of midpoints below x, exact ones counted when that makes the code even: the rule written out. */
function nearestCode(map: Float32Array, x: number): number {
  let code = 0
  for (let k = 0; k < 255; k++) {
    const midpoint = Math.fround(Math.fround(map[k]! + map[k + 1]!) * 0.5)
    if (midpoint < x || (midpoint === x && k % 2 === 1)) code = k + 1
  }
  return code
}

describe('the values of codes', () => {
  it.each([
    [true, 'cb07ba0d1557267d68103e0f7bc95af7a44d75f8', 1],
    [false, '455646eccb91aa9c9e76eec41f55b43022a651ce', 75.1052632433869],
  ])('are those of the common implementation, signed %s', async (signed, digest, sum) => {
    const map = await mapOf(signed)
    expect(createHash('sha1').update(new Uint8Array(map.buffer)).digest('hex')).toBe(digest)
    expect(map.reduce((a, b) => a + b, 0)).toBeCloseTo(sum, 12)
    expect(Array.from(map)).toEqual(Array.from(map).sort((a, b) => a - b))
    expect(map[signed ? 127 : 0]).toBe(0)
    expect(map[255]).toBe(1)
  })
})

describe.each(cpuTargets())('quantizeBlockwise on %s', (target) => {
  it('chooses the codes of published examples', async () => {
    setCpuTarget(target)
    const x = [1e-7, 2.7e-7, 3e-7, 1e-6, 1e-4, 0.01, 0.1, 0.5, 0.99, 1]
    const codesOf = async (values: readonly number[], signed: boolean) =>
      Array.from((await quantizeBlockwise(tensor(values, [values.length]), { signed }).codes.read()) as Uint8Array)
    expect(await codesOf(x, true)).toEqual([127, 127, 128, 128, 134, 158, 190, 219, 254, 255])
    expect(
      await codesOf(
        x.map((v) => -v),
        true,
      ),
    ).toEqual([127, 127, 126, 126, 120, 96, 64, 35, 0, 0])
    expect(await codesOf(x, false)).toEqual([0, 1, 1, 2, 14, 62, 126, 183, 253, 255])
  })

  it.each([true, false])(
    'finds the nearest value everywhere, midpoints and their neighbours included, signed %s',
    async (signed) => {
      setCpuTarget(target)
      const map = await mapOf(signed)
      const bits = new Int32Array(1)
      const float = new Float32Array(bits.buffer)
      const points: number[] = []
      for (let k = 0; k < 255; k++) {
        float[0] = (map[k]! + map[k + 1]!) * 0.5
        if (float[0] === 0) continue
        for (const step of [-1, 0, 1]) {
          bits[0]! += step
          points.push(float[0]!)
          bits[0]! -= step
        }
      }
      points.push(...map)
      pseudoRandom('quantize', 9000).forEach((r, i) => {
        points.push(Math.fround((signed ? r : Math.abs(r)) * 10 ** -(i % 8)))
      })
      const data: number[] = []
      for (let i = 0; i < points.length; i += 255) data.push(1, ...points.slice(i, i + 255)) // every block has scale 1
      const { codes, absmax } = quantizeBlockwise(tensor(data, [data.length]), { signed })
      expect(Array.from((await absmax.read()) as Float32Array)).toEqual(Array(Math.ceil(data.length / 256)).fill(1))
      expect(Array.from((await codes.read()) as Uint8Array)).toEqual(data.map((x) => nearestCode(map, Math.fround(x))))
      expect(memory().guardViolations).toBe(0)
    },
  )

  it('gives every block its scale and comes back within half a step', async () => {
    setCpuTarget(target)
    const count = 256 * 70 + 77
    const x = pseudoRandom('scales', count).map((v, i) => v * 2 ** ((Math.floor(i / 256) % 40) - 20))
    const results: unknown[] = []
    for (const threads of [1, 2]) {
      setThreadCount(threads)
      const quantized = quantizeBlockwise(tensor(x, [count]))
      const back = (await dequantizeBlockwise(quantized).read()) as Float32Array
      const absmax = (await quantized.absmax.read()) as Float32Array
      results.push(back)
      x.forEach((v, i) => {
        const scale = absmax[Math.floor(i / 256)]!
        expect(Math.abs(v - back[i]!)).toBeLessThanOrEqual(0.00704 * scale)
      })
    }
    expect(results[0]).toEqual(results[1])
  })

  it('keeps a block of zeros', async () => {
    setCpuTarget(target)
    const quantized = quantizeBlockwise(zeros([300]))
    expect(await quantized.codes.read()).toEqual(new Uint8Array(300).fill(127))
    expect(await dequantizeBlockwise(quantized).read()).toEqual(new Float32Array(300))
  })
})

describe('dequantizeBlockwise', () => {
  it('rejects scales that are not one for every 256 codes', () => {
    const { codes } = quantizeBlockwise(zeros([300]))
    expect(() => dequantizeBlockwise({ codes, absmax: zeros([1]) })).toThrow(
      'dequantizeBlockwise: absmax must be of shape [2], received [1]',
    )
  })
})
