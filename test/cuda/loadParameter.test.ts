import { mkdtemp, open, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadParameter } from '../../lib/ops/loadParameter.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import type { DeviceName, Tensor } from '../../lib/tensor/tensor.ts'
import { canEmulate } from '../support/emulatedGpu.ts'

/** A convolution's weight in float16, from a file of `bytes` bytes. */
async function load(device: DeviceName, bytes: number): Promise<Tensor> {
  const path = join(await mkdtemp(join(tmpdir(), 'noisewright-')), 'weights')
  await writeFile(path, new Uint8Array(Float32Array.from({ length: 90 }, (_, i) => i / 7).buffer).subarray(0, bytes))
  const file = await open(path)
  const shape = [5, 3, 3, 2]
  const options = { fileDType: 'F32', shape, layout: 'conv', dtype: 'float16', device } as const
  const loaded = loadParameter({ descriptor: file.fd, byteOffset: 0 }, options)
  await file.close()
  return loaded
}

describe.runIf(canEmulate)('loadParameter for the GPU', () => {
  it('gives what it gives on the CPU, and keeps nothing there', async () => {
    const expected = await load('cpu', 360)
    const buffers = memory('cpu').liveBuffers
    const actual = await load('cuda', 360)
    expect(actual.device).toBe('cuda')
    expect(await actual.read()).toEqual(await expected.read())
    const fence = tensor([0], [1], { device: 'cuda' })
    await fence.read()
    expect(memory('cpu').liveBuffers).toBe(buffers)
  })
  it('tells whoever reads the result that the file is cut short', async () => {
    await expect((await load('cuda', 300)).read()).rejects.toThrow(
      'loadParameter: the file is cut short: expected 360 bytes from byte 0, found 300',
    )
  })
})
