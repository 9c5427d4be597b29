import { describe, expect, it } from 'vitest'
import { loadClipTokenizer } from '../../lib/models/clip/tokenizer.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { randomWeights } from '../../lib/nn/init.ts'
import { samplePicture } from '../../lib/preview/pipeline.ts'
import type { PromptSpec } from '../../lib/preview/promptSpec.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import type { DeviceName } from '../../lib/tensor/tensor.ts'
import { dwarf } from '../support/dwarfModel.ts'
import { canEmulate } from '../support/emulatedGpu.ts'

const frog: PromptSpec = { prompt: 'a frog', negativePrompt: 'blurry', width: 64, height: 64, steps: 2, scale: 5 }

/** A picture by a sampler that draws noise at every step, and what each device was given to do for it. */
async function draw(device: DeviceName) {
  const tokenizer = await loadClipTokenizer({ variant: 'sd1' })
  const models = new StableDiffusion(dwarf, () => randomWeights(3, { device }))
  const [cpu, cuda] = [memory('cpu').opsRun, memory('cuda').opsRun]
  try {
    const { pixels } = await samplePicture(models, tokenizer, frog, { sampler: 'euler_a', seed: 7 })
    return { pixels, cpu: memory('cpu').opsRun - cpu, cuda: memory('cuda').opsRun - cuda }
  } finally {
    models.dispose()
  }
}

describe.runIf(canEmulate)('a preview drawn by the GPU', () => {
  it('is the picture of the CPU', async () => {
    const onCpu = await draw('cpu')
    const onGpu = await draw('cuda')
    expect(onGpu.cpu, 'work done by the CPU').toBe(0)
    expect(onCpu.cuda).toBe(0)
    const largest = onGpu.pixels.reduce((most, byte, i) => Math.max(most, Math.abs(byte - onCpu.pixels[i]!)), 0)
    expect(largest, 'levels of 255').toBeLessThanOrEqual(1)
    expect(new Set(onGpu.pixels).size).toBeGreaterThan(10)
  })
})
