/** Trainings under a driver without CUDA graphs: the look-alike with a function of theirs under another name. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { run } from '../../lib/cli/run.ts'
import { networkTraining } from '../../lib/train/methods/trainNetwork.ts'
import { makeTestHost } from '../cli/testHost.ts'
import { smallDwarf } from '../support/dwarfModel.ts'
import { canEmulate, fakeDriver } from '../support/emulatedGpu.ts'
import { trained } from '../support/gpuTraining.ts'
import { makeFolder } from '../support/pictures.ts'
import { makeTinyData, saveTinyModel, tinyTraining } from '../support/tinyTraining.ts'

const missing = 'cuGraphLaunch'
const reason = `the installed NVIDIA driver has no CUDA graphs (it lacks ${missing})`

/** A copy of a library in which no one finds a function. @returns its path */
function without(name: string, library: string, folder: string): string {
  const bytes = readFileSync(library)
  const from = Buffer.from(`\0${name}\0`)
  for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at + 1)) bytes[at + 1]! ^= 32
  const copy = join(folder, 'libcuda.so')
  writeFileSync(copy, bytes)
  return copy
}

// Before the addon's first question about GPUs, which opens the driver.
if (canEmulate) process.env.NOISEWRIGHT_LIBCUDA = without(missing, fakeDriver!, await makeFolder())

describe.runIf(canEmulate)('a CUDA driver without graphs', () => {
  it('trains all the same, and the training says so once', async () => {
    const data = await makeTinyData({ pictures: { 'a.png': [64, 64], 'a.txt': 'sks frog' }, batchSize: 1 })
    const config = await tinyTraining(await saveTinyModel(smallDwarf), data, {
      training: { maxSteps: 5, device: 'cuda' },
      output: { saveAs: 'safetensors' },
    })
    const { losses, graphBytes, graphWarnings } = await trained(networkTraining, config)
    expect(losses.map(Number.isFinite)).toEqual([true, true, true, true, true])
    expect(graphBytes).toBe(0)
    expect(graphWarnings).toEqual([
      `CUDA graphs are not used for all steps: ${reason}. Results are the same without them.`,
    ])
  })

  it('is what the doctor says', async () => {
    const host = makeTestHost()
    await run(['doctor'], host)
    expect(host.stdout.lines).toContain(`CUDA graphs: not used: ${reason}`)
  })
})
