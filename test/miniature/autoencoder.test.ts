import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memory, tinySd1, type Vae } from 'noisewright'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Pictures, trainAutoencoder } from '../../scripts/miniature/autoencoder.ts'
import { uniform } from '../support/seededNumbers.ts'

const random = uniform(1)
const pixels = Uint8Array.from({ length: 20 * 16 * 16 * 3 }, () => 256 * random())
const pictures: Pictures = { size: 16, count: 20, pixels }
const config = { ...tinySd1.vae, blockOutChannels: [8, 8, 8, 8], groups: 4, layersPerBlock: 1 }

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noisewright-autoencoder-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function weightsOf(vae: Vae): Promise<Float32Array[]> {
  const all: Float32Array[] = []
  for (const { tensor } of vae.registry.parameters.values()) all.push((await tensor.read()) as Float32Array)
  vae.dispose()
  return all
}

describe('trainAutoencoder', () => {
  it('goes on from a saved state to the same bits, and lowers the loss', async () => {
    const before = memory().liveBuffers
    const losses: number[] = []
    const options = { seed: 3, saveEvery: 1, steps: 5, onStep: (_: number, loss: number) => void losses.push(loss) }
    const whole = await weightsOf(
      await trainAutoencoder(config, pictures, { ...options, stateFile: join(folder, 'whole.safetensors') }),
    )
    expect(losses).toHaveLength(5)
    expect(losses.at(-1)).toBeLessThan(losses[0]!)

    const stateFile = join(folder, 'stopped.safetensors')
    const stop = new Error('stopped')
    const onStep = (step: number): void => {
      if (step === 4) throw stop
    }
    await expect(trainAutoencoder(config, pictures, { ...options, stateFile, onStep })).rejects.toBe(stop)
    const resumed = await weightsOf(await trainAutoencoder(config, pictures, { ...options, stateFile }))
    expect(losses).toHaveLength(7)
    expect(resumed).toEqual(whole)
    expect(memory().liveBuffers).toBe(before)
  })
})
