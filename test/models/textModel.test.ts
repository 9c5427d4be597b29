import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { ClipTextModel } from '../../lib/models/clip/textModel.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { expectDigest } from '../support/digest.ts'
import { loadModelFixture } from '../support/modelFixture.ts'
import { numbers } from '../support/opSuite.ts'
import { expectGradients, formulaInput, formulaWeights, tinyConfigs, trainAll } from '../support/tinyModels.ts'

const forwardTolerance = { float32: { rms: 1e-5, max: 1e-4 }, float16: { rms: 2e-3, max: 2e-2 } }
const gradientTolerance = { float32: { rms: 1e-4, max: 1e-3 }, float16: { rms: 1.4e-2, max: 1.4e-1, relative: 1e-2 } }

describe.each(['tinySd1', 'tinySd2'] as const)('the text encoder of %s', (name) => {
  const { text } = loadModelFixture(name)
  const ids = () => tensor(Int32Array.from(text.ids.flat()), [text.ids.length, 77])

  it.each(['float32', 'float16'] as const)(
    'computes the hidden states that transformers computes, in %s',
    async (dtype) => {
      const model = new ClipTextModel(tinyConfigs[name].textEncoder, formulaWeights('text_encoder'), dtype)
      const { hiddenStates, lastHiddenState } = model.forward(ids())
      const expected = [text.hidden0, text.hidden1, text.hidden2, text.hidden3]
      expect(hiddenStates.length).toBe(expected.length)
      for (const [i, digest] of expected.entries())
        expectDigest(await numbers(hiddenStates[i]!), digest, forwardTolerance[dtype])
      expectDigest(await numbers(lastHiddenState), text.lastHidden, forwardTolerance[dtype])
      expectDigest(await numbers(model.encode(ids(), 2)), text.clipSkip2, forwardTolerance[dtype])
      model.dispose()
    },
  )

  it.each([
    ['float32', false],
    ['float32', true],
    ['float16', false],
  ] as const)('computes every gradient in %s, gradient checkpointing %s', async (dtype, checkpointing) => {
    const model = new ClipTextModel(tinyConfigs[name].textEncoder, formulaWeights('text_encoder'), dtype)
    model.gradientCheckpointing = checkpointing
    trainAll(model.registry)
    const { lastHiddenState } = model.forward(ids())
    backward(lastHiddenState, formulaInput(`${name}/text/dy`, lastHiddenState.shape, dtype))
    // As optimizers take them.
    for (const { name: parameter, tensor } of model.registry.parameters.values())
      expect(tensor.grad?.dtype, parameter).toBe('float32')
    await expectGradients(model.registry, 'text_encoder', text.gradients, gradientTolerance[dtype])
    model.dispose()
  })

  it('rejects a longer sequence and a layer that does not exist', () => {
    const model = new ClipTextModel(tinyConfigs[name].textEncoder, formulaWeights('text_encoder'))
    expect(() => model.forward(tensor(new Int32Array(78), [1, 78]))).toThrow('ids must be of shape [n, 77], or shorter')
    expect(() => model.encode(ids(), 5)).toThrow('clipSkip must be a whole number from 1 to 4, received 5')
    model.dispose()
  })
})
