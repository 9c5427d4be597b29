import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { noGrad } from '../../lib/autograd/tape.ts'
import { Vae } from '../../lib/models/stableDiffusion/vae.ts'
import { addon } from '../../lib/native/load.ts'
import type { WeightSource } from '../../lib/nn/weights.ts'
import { cast } from '../../lib/ops/cast.ts'
import { permute } from '../../lib/ops/permute.ts'
import { vaeEncode, vaeEncodeParameters } from '../../lib/ops/vaeEncode.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'
import type { FloatDType } from '../../lib/tensor/dtype.ts'
import { cpuTargets, memory, resetPeak, setCpuTarget, setThreadCount } from '../../lib/tensor/runtime.ts'
import { scope } from '../../lib/tensor/scope.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { expectDigest } from '../support/digest.ts'
import { expectClose } from '../support/float64.ts'
import { loadModelFixture } from '../support/modelFixture.ts'
import { formulaInput, formulaWeights, tinyConfigs } from '../support/tinyModels.ts'

const config = tinyConfigs.tinySd1.vae
const sizes = {
  channels: config.blockOutChannels,
  layers: config.layersPerBlock,
  latentChannels: config.latentChannels,
}
const tolerance = {
  float32: { rms: 1e-5, max: 1e-4 },
  bfloat16: { rms: 1.5e-2, max: 1e-1 },
  float16: { rms: 3e-3, max: 2e-2 },
}
const best = cpuTargets().at(-1)!

/** Values of a result, which is disposed. */
async function take(y: Tensor): Promise<Float32Array> {
  const values = (await y.read()) as Float32Array
  y.dispose()
  return values
}

/** A picture with edges, slopes and a dark corner. */
function picture(n: number, h: number, w: number): Uint8Array {
  return Uint8Array.from({ length: n * h * w * 3 }, (_, i) => {
    const colour = i % 3
    const x = Math.floor(i / 3) % w
    const y = Math.floor(i / (3 * w))
    return (x * (3 + colour) + y * 5 + ((x ^ y) & 8) * 9 + colour * 40) & 255
  })
}

const normalised = (bytes: Uint8Array): Float32Array =>
  Float32Array.from(bytes, (byte) => Math.fround(Math.fround(byte / 127.5) - 1))

/** The formula's weights rounded to `dtype`, computed with in the type that is asked for. */
const roundedWeights =
  (dtype: FloatDType): WeightSource =>
  (request) =>
    scope(() => cast(formulaWeights('vae')({ ...request, dtype }), { dtype: request.dtype }))

describe('vaeEncode', () => {
  const vae = new Vae(config, formulaWeights('vae'))

  beforeEach(() => addon.setMemoryGuards(true))
  afterEach(() => {
    addon.setMemoryGuards(false)
    setCpuTarget(best)
    setThreadCount(2)
  })

  it('lists its parameters in the order and with the names of the model', () => {
    const names = [...vae.registry.parameters.keys()].filter((name) => /^(encoder|quant_conv)\./.test(name))
    expect(vaeEncodeParameters(sizes).map(({ name }) => name)).toEqual(names)
  })

  describe.each(cpuTargets())('on %s', (target) => {
    it('encodes as diffusers does', async () => {
      setCpuTarget(target)
      const { vaeEncoder } = loadModelFixture('tinySd1')
      const image = formulaInput('tinySd1/vaeEncoder/image', vaeEncoder.input)
      expectDigest(await take(vae.encodePictures(image)), vaeEncoder.moments, tolerance.float32)
      image.dispose()
    })

    it.each([
      [1, 8, 8],
      [2, 40, 72],
      [1, 104, 24],
    ])('gives what the composed model gives for %i pictures of %i x %i', async (n, h, w) => {
      setCpuTarget(target)
      const bytes = picture(n, h, w)
      const pixels = tensor(normalised(bytes), [n, h, w, 3])
      await pixels.read()
      const before = memory()
      const expected = await take(noGrad(() => vae.encode(pixels)))
      const once = await take(vae.encodePictures(pixels))
      expectClose('moments', once, expected, tolerance.float32)
      const raw = tensor(bytes, [n, h, w, 3])
      expect(await take(vae.encodePictures(raw))).toEqual(once)
      raw.dispose()
      await pixels.read() // the jobs before it have let go of their tensors
      expect(memory().liveBuffers - before.liveBuffers).toBeLessThanOrEqual(0)
      expect(memory().guardViolations).toBe(before.guardViolations)
      pixels.dispose()
    })

    it.each(['bfloat16', 'float16'] as const)('computes in %s where the weights are', async (dtype) => {
      setCpuTarget(target)
      const half = new Vae(config, roundedWeights(dtype), dtype)
      const exact = new Vae(config, roundedWeights(dtype))
      const bytes = tensor(picture(1, 72, 64), [1, 72, 64, 3])
      const moments = half.encodePictures(bytes)
      expect(moments.dtype).toBe('float32')
      expectClose('moments', await take(moments), await take(exact.encodePictures(bytes)), tolerance[dtype])
      bytes.dispose()
      half.dispose()
      exact.dispose()
    })

    it('gives the same bits for any number of threads, any height of the bands and any batch', async () => {
      setCpuTarget(target)
      const bytes = picture(2, 88, 64)
      const pair = tensor(bytes, [2, 88, 64, 3])
      const second = tensor(bytes.subarray(88 * 64 * 3), [1, 88, 64, 3])
      const parameters = vaeEncodeParameters(sizes).map(({ name }) => vae.registry.parameters.get(name)!.tensor)
      const encode = (pixels: Tensor, bandRows?: number): Promise<Float32Array> =>
        take(vaeEncode(pixels, parameters, { ...sizes, groups: config.groups, ...(bandRows ? { bandRows } : {}) }))
      const expected = await encode(pair)
      for (const bandRows of [4, 12, 20, 1000]) expect(await encode(pair, bandRows)).toEqual(expected)
      setThreadCount(1)
      expect(await encode(pair)).toEqual(expected)
      setThreadCount(2)
      expect(await encode(second)).toEqual(expected.subarray(expected.length / 2))
      pair.dispose()
      second.dispose()
    })
  })

  it('keeps two activations of full size and a band', async () => {
    addon.setMemoryGuards(false)
    const size = 768
    const bytes = tensor(picture(1, size, size), [1, size, size, 3])
    const pixels = tensor(normalised(picture(1, size, size)), [1, size, size, 3])
    const peakOf = async (encode: () => Tensor): Promise<number> => {
      await take(encode())
      const { liveBytes } = memory()
      resetPeak()
      await take(encode())
      return memory().peakBytes - liveBytes
    }
    const activation = size * size * config.blockOutChannels[0]! * 4
    const peak = await peakOf(() => vae.encodePictures(bytes))
    expect(peak).toBeLessThan(2 * activation + 24e6)
    expect(peak).toBeLessThan(0.9 * (await peakOf(() => noGrad(() => vae.encode(pixels)))))
    bytes.dispose()
    pixels.dispose()
  })

  it('rejects pictures and parameters that do not fit', () => {
    const parameters = vaeEncodeParameters(sizes).map(({ name }) => vae.registry.parameters.get(name)!.tensor)
    const options = { ...sizes, groups: config.groups }
    const pixels = zeros([1, 16, 16, 3])
    expect(() => vaeEncode(zeros([1, 20, 16, 3]), parameters, options)).toThrow(
      'divisible by 8, received [1, 20, 16, 3]',
    )
    expect(() => vaeEncode(zeros([1, 16, 16, 4]), parameters, options)).toThrow('[n, h, w, 3]')
    expect(() => vaeEncode(zeros([1, 16, 16, 3], { dtype: 'int32' }), parameters, options)).toThrow('uint8 or float32')
    expect(() => vaeEncode(permute(pixels, { axes: [0, 2, 1, 3] }), parameters, options)).toThrow('contiguous')
    expect(() => vaeEncode(pixels, parameters.slice(1), options)).toThrow('106 tensors')
    expect(() => vaeEncode(pixels, parameters.toReversed(), options)).toThrow('encoder.conv_in.weight')
    expect(() => vaeEncode(pixels, parameters, { ...options, groups: 5 })).toThrow('divisible by groups')
    expect(() => vaeEncode(pixels, parameters, { ...options, bandRows: 2.5 })).toThrow('bandRows')
  })
})
