import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { ClipTextModel } from '../../lib/models/clip/textModel.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { expectDigest } from '../support/digest.ts'
import { loadModelFixture } from '../support/modelFixture.ts'
import { expectGradients, formulaInput, formulaWeights, tinyConfigs, trainAll } from '../support/tinyModels.ts'

const forwardTolerance = { rms: 1e-5, max: 1e-4 }
const gradientTolerance = { rms: 1e-4, max: 1e-3 }

describe.each(['tinySd1', 'tinySd2'] as const)('the text encoder of %s', (name) => {
  const { text } = loadModelFixture(name)
  const ids = () => tensor(Int32Array.from(text.ids.flat()), [text.ids.length, 77])

  it('computes the hidden states that transformers computes', async () => {
    const model = new ClipTextModel(tinyConfigs[name].textEncoder, formulaWeights('text_encoder'))
    const { hiddenStates, lastHiddenState } = model.forward(ids())
    const expected = [text.hidden0, text.hidden1, text.hidden2, text.hidden3]
    expect(hiddenStates.length).toBe(expected.length)
    for (const [i, digest] of expected.entries())
      expectDigest((await hiddenStates[i]!.read()) as Float32Array, digest, forwardTolerance)
    expectDigest((await lastHiddenState.read()) as Float32Array, text.lastHidden, forwardTolerance)
    expectDigest((await model.encode(ids(), 2).read()) as Float32Array, text.clipSkip2, forwardTolerance)
    model.dispose()
  })

  it.each([false, true])('computes every gradient, gradient checkpointing %s', async (checkpointing) => {
    const model = new ClipTextModel(tinyConfigs[name].textEncoder, formulaWeights('text_encoder'))
    model.gradientCheckpointing = checkpointing
    trainAll(model.registry)
    const { lastHiddenState } = model.forward(ids())
    backward(lastHiddenState, formulaInput(`${name}/text/dy`, lastHiddenState.shape))
    await expectGradients(model.registry, 'text_encoder', text.gradients, gradientTolerance)
    model.dispose()
  })

  it('rejects a longer sequence and a layer that does not exist', () => {
    const model = new ClipTextModel(tinyConfigs[name].textEncoder, formulaWeights('text_encoder'))
    expect(() => model.forward(tensor(new Int32Array(78), [1, 78]))).toThrow('ids must be of shape [n, 77], or shorter')
    expect(() => model.encode(ids(), 5)).toThrow('clipSkip must be a whole number from 1 to 4, received 5')
    model.dispose()
  })
})
