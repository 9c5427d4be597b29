import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { FactorNetwork } from '../../examples/customNetwork.ts'
import { backward } from '../../lib/autograd/backward.ts'
import { noGrad } from '../../lib/autograd/tape.ts'
import { tinySd1 } from '../../lib/models/stableDiffusion/config.ts'
import { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { readKohyaLora, writeKohyaLora } from '../../lib/networks/kohyaLora.ts'
import { mseLoss } from '../../lib/ops/mseLoss.ts'
import { AdamW } from '../../lib/optim/adamW.ts'
import { randomNormal, tensor } from '../../lib/tensor/create.ts'
import { scope } from '../../lib/tensor/scope.ts'
import { startNetwork } from '../../lib/train/methods/startNetwork.ts'
import { packageRoot } from '../../lib/util/packageRoot.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { makeFolder } from '../support/pictures.ts'
import { formulaWeights } from '../support/tinyModels.ts'

const prefixes = { unet: 'unet', textEncoder: 'text_encoder', vae: 'vae' } as const

it('the example of a network of one’s own learns, is saved, read back and gone on from, and leaves nothing behind', async () => {
  const baseline = await baselineBuffers()
  const models = new StableDiffusion(tinySd1, (part) => formulaWeights(prefixes[part]))
  const forward = () => {
    const context = randomNormal([1, 77, 32], { seed: 3 })
    return models.unet.forward(randomNormal([1, 8, 8, 4], { seed: 5 }), tensor([500], [1]), context)
  }
  const output = async (): Promise<Float32Array> => {
    const result = noGrad(() => scope(forward))
    const values = (await result.read()) as Float32Array
    result.dispose()
    return values
  }
  const plain = await output()
  const start = {
    choice: FactorNetwork,
    dim: null,
    alpha: null,
    dropout: null,
    trainUnet: true,
    trainTextEncoder: false,
    seed: 1,
  }
  const { network } = await startNetwork(models, start)
  expect(await output()).toEqual(plain)
  const optimizer = new AdamW([{ params: network.parameters() }], { learningRate: 1e-2 })
  const losses: number[] = []
  for (let step = 0; step < 8; step++) {
    network.setStep(step)
    const loss = scope(() => {
      const loss = mseLoss(forward(), randomNormal([1, 8, 8, 4], { seed: 6 }), null)
      backward(loss)
      return loss
    })
    optimizer.step()
    optimizer.zeroGrad()
    losses.push(Number((await loss.read())[0]))
    loss.dispose()
  }
  expect(losses.at(-1)!).toBeLessThan(losses[0]!)
  const learnt = await output()
  const path = join(await makeFolder(), 'factors.safetensors')
  await writeKohyaLora(path, await network.toKohya(), { metadata: {} })
  optimizer.dispose()
  const detach = network.attachSaved([...(await readKohyaLora(path)).modules.values()])
  expect(await output()).toEqual(learnt)
  detach()
  network.dispose()
  expect(await output()).toEqual(plain)

  const again = await startNetwork(models, { ...start, weights: path })
  expect(await output()).toEqual(learnt)
  again.network.dispose()
  models.dispose()
  expect(await liveBuffers()).toBe(baseline)
})

it('the example imports nothing but the package', async () => {
  const text = await readFile(join(packageRoot(), 'examples', 'customNetwork.ts'), 'utf8')
  expect([...text.matchAll(/from '([^']+)'/g)].map(([, name]) => name)).toEqual(['noisewright'])
})
