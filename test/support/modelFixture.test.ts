import { describe, expect, test } from 'vitest'
import { expectDigest } from './digest.ts'
import { elementCount, formulaValues, parameterValues } from './formula.ts'
import { loadModelFixture, loraValues, parameterShapes } from './modelFixture.ts'

describe('model fixtures', () => {
  for (const [name, loraModules, te] of [
    ['tinySd1', 210, 'lora_te_text_model_encoder_layers_0_self_attn_q_proj'],
    ['tinySd2', 210, 'lora_te_text_model_encoder_layers_2_mlp_fc2'],
  ] as const) {
    const fixture = loadModelFixture(name)

    test(`${name} names every parameter of the checkpoint`, () => {
      const shapes = parameterShapes(fixture)
      const width = fixture.config.text_encoder.hidden_size
      expect(shapes.get('text_encoder.text_model.embeddings.token_embedding.weight')).toEqual([49408, width])
      expect(shapes.get('unet.conv_in.weight')).toEqual([32, 4, 3, 3])
      expect(shapes.get('vae.encoder.mid_block.attentions.0.to_q.weight')).toEqual([32, 32])
      expect(Object.keys(fixture.unet.gradients)).toHaveLength(684)
      expect(Object.keys(fixture.unet.gradients)).toEqual(Object.keys(fixture.unetOddWidth.gradients))
    })

    test(`${name} covers all LoRA modules`, () => {
      for (const { gradients } of Object.values(fixture.loraStep.variants)) {
        expect(Object.keys(gradients)).toHaveLength(2 * loraModules)
        expect(gradients[`${te}.lora_down.weight`]!.shape[0]).toBe(fixture.loraStep.rank)
      }
    })
  }

  test('embeddings computed from formula weights agree with the first hidden state', () => {
    const { text } = loadModelFixture('tinySd1')
    const prefix = 'text_encoder.text_model.embeddings'
    const tokens = parameterValues(`${prefix}.token_embedding.weight`, [49408, 32])
    const positions = parameterValues(`${prefix}.position_embedding.weight`, [77, 32])
    const hidden = text.ids.flatMap((row) =>
      row.flatMap((id, t) => Array.from({ length: 32 }, (_, c) => tokens[id * 32 + c]! + positions[t * 32 + c]!)),
    )
    expectDigest(hidden, text.hidden0, { rms: 1e-8, max: 1e-7 })
  })

  test("the bias gradient of the U-Net's last convolution is the sum of dy", () => {
    const { unet } = loadModelFixture('tinySd1')
    const dy = formulaValues('tinySd1/unet/dy', { shape: unet.sample.shape, kind: 'normal-like' })
    const sums = [0, 0, 0, 0]
    for (let i = 0; i < elementCount(unet.sample.shape); i++) sums[i % 4]! += dy[i]!
    expectDigest(sums, unet.gradients['unet.conv_out.bias']!, { rms: 1e-7, max: 1e-7 })
  })

  test('AdamW moves each LoRA weight by at most the learning rate and the decay', () => {
    const { loraStep } = loadModelFixture('tinySd1')
    const { gradients, weights } = loraStep.variants.epsilon!
    const { learningRate, weightDecay } = loraStep.adamW
    for (const [key, { shape }] of Object.entries(gradients)) {
      const before = loraValues(key, shape)
      const after = weights![key]!
      after.samples?.forEach((value, k) => {
        const start = before[k * after.stride!]!
        const bound = learningRate * (1 + weightDecay * Math.abs(start)) * 1.001
        expect(Math.abs(value - start), key).toBeLessThanOrEqual(bound)
      })
    }
  })
})
