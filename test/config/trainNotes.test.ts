import { describe, expect, it } from 'vitest'
import { parseTraining } from '../../lib/train/options/parseTraining.ts'
import { needed, problemsOf } from './trainProblems.ts'

describe('options together', () => {
  it.each([
    [['--noise_offset', '0', '--adaptive_noise_scale', '0.1'], '--adaptive_noise_scale has no effect with'],
    [['--text_encoder_lr', '1', '--network_train_unet_only'], '--text_encoder_lr has no effect, since'],
    [['--unet_lr', '1', '--network_train_text_encoder_only'], '--unet_lr has no effect, since'],
    [
      ['--lr_scheduler_num_cycles', '3', '--lr_scheduler', 'cosine'],
      '--lr_scheduler_num_cycles has no effect but with',
    ],
    [['--lr_scheduler_power', '2'], '--lr_scheduler_power has no effect but with --lr_scheduler polynomial'],
    [['--lr_decay_steps', '9'], '--lr_decay_steps has no effect but with'],
    [
      ['--lr_scheduler', 'cosine', '--lr_scheduler_type', 'ConstantLR'],
      '--lr_scheduler is not used, since --lr_scheduler_type is given',
    ],
  ])('%j has no effect, and says so', async (args, message) => {
    const { notes } = await parseTraining('train-network', [...needed, ...args])
    expect(notes).toEqual([expect.stringContaining(message)])
  })

  it.each([
    ['--lr_scheduler', 'cosine', '--lr_scheduler_num_cycles', '1', '--lr_scheduler_power', '1'],
    ['--lr_scheduler', 'cosine_with_restarts', '--lr_scheduler_num_cycles', '3'],
    ['--noise_offset', '0.1', '--adaptive_noise_scale', '0.1', '--unet_lr', '1'],
    ['--min_timestep', '500', '--max_timestep', '500', '--multires_noise_iterations', '0'],
    // What replaces the schedule tells so itself.
    ['--optimizer_type', 'AdamWScheduleFree', '--lr_warmup_steps', '3'],
  ])('%s %s %s %s are taken without a word', async (...args) => {
    expect((await parseTraining('train-network', [...needed, ...args])).notes).toEqual([])
  })

  it('tell AdaFactor that it cannot be warmed up, once', async () => {
    expect(await problemsOf(...needed, '--optimizer_type', 'AdaFactor', '--lr_warmup_steps', '2')).toEqual([
      '--lr_warmup_steps has no meaning for AdaFactor with relative_step: leave it out',
    ])
  })
})
