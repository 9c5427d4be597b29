import { describe, expect, it } from 'vitest'
import { blockOf, readBlockWeights } from '../../lib/networks/blockWeights.ts'

describe('readBlockWeights', () => {
  it('is null without weights', () => {
    expect(readBlockWeights({ block_lr_zero_threshold: '0.1' })).toBeNull()
  })
  it('takes lists: empty is 0, missing is 1, what is too much is left out', () => {
    const weights = readBlockWeights({
      down_lr_weight: '0.5,,2',
      mid_lr_weight: '3',
      up_lr_weight: `${'1,'.repeat(12)}9`,
    })!
    expect(weights).toHaveLength(25)
    expect(weights.slice(0, 5)).toEqual([0.5, 0, 2, 1, 1])
    expect(weights[12]).toBe(3)
    expect(weights.slice(13)).toEqual(new Array(12).fill(1))
  })
  it.each([
    ['sine', [0, Math.sin(Math.PI / 22), 1]],
    ['cosine', [1, Math.sin((Math.PI / 2) * (10 / 11)), 0]],
    ['linear', [0, 1 / 11, 1]],
    ['reverse_linear', [1, 10 / 11, 0]],
  ])('knows the preset %s', (preset, [first, second, last]) => {
    const weights = readBlockWeights({ up_lr_weight: preset })!
    expect(weights[13]).toBeCloseTo(first!, 14)
    expect(weights[14]).toBeCloseTo(second!, 14)
    expect(weights[24]).toBeCloseTo(last!, 14)
    expect(readBlockWeights({ up_lr_weight: `${preset}+.25` })![14]).toBeCloseTo(second! + 0.25, 14)
  })
  it('takes weights up to the threshold as 0', () => {
    const weights = readBlockWeights({ down_lr_weight: 'linear', block_lr_zero_threshold: '0.2' })!
    expect(weights.slice(0, 4)).toEqual([0, 0, 0, 3 / 11])
  })
  it.each([
    [{ down_lr_weight: '1' }, 'must be 12 numbers with commas, or one of sine, cosine'],
    [{ up_lr_weight: 'sin' }, 'Did you mean "sine"?'],
    [{ up_lr_weight: '1,x' }, 'must hold numbers of at least 0, found "x"'],
    [{ mid_lr_weight: '-1' }, 'mid_lr_weight must hold numbers of at least 0'],
    [{ up_lr_weight: 'constructor' }, 'must be 12 numbers'],
    [{ down_lr_weight: 'zeros', mid_lr_weight: '0', up_lr_weight: 'zeros' }, 'leaves nothing of the U-Net to train'],
  ])('refuses %j', (texts, message) => {
    expect(() => readBlockWeights(texts)).toThrow(message)
  })
})

describe('blockOf', () => {
  it.each([
    ['lora_unet_down_blocks_0_attentions_0_proj_in', 1],
    ['lora_unet_down_blocks_0_downsamplers_0_conv', 3],
    ['lora_unet_down_blocks_2_attentions_1_proj_out.lora_up.weight', 8],
    ['lora_unet_down_blocks_3_resnets_1_conv1', 11],
    ['lora_unet_mid_block_attentions_0_proj_in', 12],
    ['lora_unet_up_blocks_0_resnets_0_conv1', 13],
    ['lora_unet_up_blocks_1_upsamplers_0_conv', 18],
    ['lora_unet_up_blocks_3_attentions_2_proj_in', 24],
    ['lora_unet_time_embedding_linear_1', null],
    ['lora_te_text_model_encoder_layers_0_mlp_fc1', null],
  ])('%s is in block %s', (name, block) => {
    expect(blockOf(name)).toBe(block)
  })
})
