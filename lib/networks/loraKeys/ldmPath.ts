/**
 * Names of the U-Net's layers in original ("latent diffusion") checkpoints. Block numbers count every resnet and every resampler in
 * order: input block 0 is conv_in, then `layersPerBlock` resnets and a downsampler for each level.
 */

const inResnet: Readonly<Record<string, string>> = {
  conv1: 'in_layers.2',
  time_emb_proj: 'emb_layers.1',
  conv2: 'out_layers.3',
  conv_shortcut: 'skip_connection',
}

const whole: Readonly<Record<string, string>> = {
  conv_in: 'input_blocks.0.0',
  conv_out: 'out.2',
  'time_embedding.linear_1': 'time_embed.0',
  'time_embedding.linear_2': 'time_embed.2',
}

/**
 * @param path a layer of a U-Net as diffusers names it, without `.weight`
 * @param layersPerBlock resnets of a down level; an up level has one more
 * @returns its name below `model.diffusion_model.` in an original checkpoint
 */
export function ldmPath(path: string, layersPerBlock: number): string {
  if (path in whole) return whole[path]!
  const [side, level, kind, index, ...rest] = path.split('.') as [string, string, string, string, ...string[]]
  if (side === 'mid_block') {
    const [, , number, ...inner] = path.split('.') as [string, string, string, ...string[]]
    return level === 'attentions'
      ? ['middle_block.1', ...inner].join('.')
      : `middle_block.${2 * Number(number)}.${inResnet[inner.join('.')]}`
  }
  const perLevel = layersPerBlock + 1
  const [l, i] = [Number(level), Number(index)]
  if (kind === 'downsamplers') return `input_blocks.${perLevel * (l + 1)}.0.op`
  // The lowest level has no attention: its upsampler follows the resnet directly.
  if (kind === 'upsamplers') return `output_blocks.${perLevel * l + layersPerBlock}.${l === 0 ? 1 : 2}.conv`
  const block = side === 'down_blocks' ? `input_blocks.${perLevel * l + i + 1}` : `output_blocks.${perLevel * l + i}`
  return kind === 'attentions' ? [block, '1', ...rest].join('.') : `${block}.0.${inResnet[rest.join('.')]}`
}
