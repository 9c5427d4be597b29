/** Ops on pictures, ids and timesteps: their CUDA kernels in the emulation. */
import { describe, expect, it } from 'vitest'
import { addNoise } from '../../lib/ops/addNoise.ts'
import { embedding } from '../../lib/ops/embedding.ts'
import { imageToTensor } from '../../lib/ops/imageToTensor.ts'
import { lookupTable } from '../../lib/ops/lookupTable.ts'
import { resizeImage } from '../../lib/ops/resizeImage.ts'
import { shiftHue } from '../../lib/ops/shiftHue.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { DeviceName, Tensor } from '../../lib/tensor/tensor.ts'
import { canEmulate } from '../support/emulatedGpu.ts'
import { expectSameBits } from '../support/sameOnGpu.ts'

function picture(height: number, width: number, channels: number, device: DeviceName): Tensor {
  const pixels = Uint8Array.from(
    { length: height * width * channels },
    (_, i) => (i * i * 7) / 8 + i * 31 + (i % channels) * 85,
  )
  return tensor(pixels, [height, width, channels], { device })
}

describe.runIf(canEmulate)('data on the GPU', () => {
  it('looks bytes up', async () => {
    for (const count of [1, 15, 16, 4099])
      await expectSameBits((device) => {
        const x = tensor(
          Uint8Array.from({ length: count }, (_, i) => i * 7),
          [count],
          { device },
        )
        const table = tensor(
          Uint8Array.from({ length: 256 }, (_, i) => 255 - i),
          [256],
          { device },
        )
        return [lookupTable(x, table)]
      })
  })
  it('turns colours', async () => {
    for (const [height, width] of [
      [1, 1],
      [7, 9],
      [40, 41],
    ] as const)
      await expectSameBits((device) => {
        const image = picture(height, width, 3, device)
        return [0, 60, -17.5, 179].map((shift) => shiftHue(image, { shift }))
      })
  })
  it('makes pictures model input', async () => {
    await expectSameBits((device) => {
      const image = picture(19, 23, 3, device)
      return [imageToTensor(image), imageToTensor(image, { left: 3, top: 2, width: 11, height: 9, flip: true })]
    })
  })
  it.each(['area', 'nearest', 'linear', 'cubic', 'lanczos', 'lanczos3', 'box'] as const)(
    'resizes pictures by %s as on the CPU',
    async (method) => {
      for (const [from, to] of [
        [
          [40, 60],
          [20, 30],
        ],
        [
          [45, 60],
          [15, 20],
        ],
        [
          [41, 67],
          [17, 23],
        ],
        [
          [13, 11],
          [29, 37],
        ],
      ] as const)
        for (const channels of [1, 3])
          await expectSameBits((device) => [
            resizeImage(picture(from[0], from[1], channels, device), { height: to[0], width: to[1], method }),
          ])
    },
  )
  it('gives not a number for an id that the table does not have', async () => {
    const ids = tensor(Int32Array.of(1, 2, -1), [3], { device: 'cuda' })
    for (const dtype of ['float32', 'bfloat16'] as const) {
      const table =
        dtype === 'float32'
          ? tensor([1, 2, 3, 4], [2, 2], { device: 'cuda' })
          : tensor(Uint16Array.of(1, 2, 3, 4), [2, 2], { dtype, device: 'cuda' })
      const y = await embedding(ids, table).read()
      if (dtype === 'float32') expect(Array.from(y as Float32Array)).toEqual([3, 4, NaN, NaN, NaN, NaN])
      else expect(Array.from(y as Uint16Array)).toEqual([3, 4, 0xffff, 0xffff, 0xffff, 0xffff])
    }
  })
  it('gives not a number for a timestep that the schedule does not have', async () => {
    const device = 'cuda'
    const latents = tensor([1, 2, 3], [3, 1], { device })
    const timesteps = tensor(Int32Array.of(0, 2, -1), [3], { device })
    const y = addNoise(latents, latents, timesteps, tensor([1, 0.5], [2], { device }))
    expect(Array.from((await y.read()) as Float32Array)).toEqual([1, NaN, NaN])
  })
})
