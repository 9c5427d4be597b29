import { describe, expect, it } from 'vitest'
import { type DatasetOption, datasetOptions } from '../../lib/config/datasetOptions.ts'
import { explainOption, listOptions } from '../../lib/config/explain.ts'
import { type TrainOption, trainOptions } from '../../lib/config/trainOptions.ts'
import { ConfigError } from '../../lib/util/errors.ts'

const wide = 10_000

describe('an explanation', () => {
  it('of a key has type, default, levels, twin and rules', () => {
    expect(explainOption('min_bucket_reso', wide).split('\n')).toEqual([
      'min_bucket_reso',
      '  Smallest bucket side in pixels. Not used with bucket_no_upscale.',
      '',
      'In a dataset file: min_bucket_reso',
      '  Value: a whole number of at least 8. In [general] or [[datasets]]. Default: 256.',
      '',
      'On the command line: --min_bucket_reso <integer>',
      '  Value: a whole number of at least 8. Default: 256. Counts where the dataset file says nothing, not even false.',
      '',
      'Rules:',
      '  - min_bucket_reso must be a multiple of 8, from bucket_reso_steps to the shorter side of the resolution.',
      '  - min_bucket_reso may have no effect (error): enable_bucket is not set.',
      '  - min_bucket_reso may have no effect (error): bucket_no_upscale makes buckets from the sizes of the pictures.',
    ])
  })

  it('finds a key by its twin on the command line, by its alias, and with dashes', () => {
    for (const name of ['batch_size', '--train-batch-size', 'train_batch_size']) {
      const text = explainOption(name, wide)
      expect(text).toContain('In a dataset file: batch_size')
      expect(text).toContain('On the command line: --train_batch_size <integer>')
    }
    expect(explainOption('caption_extention', wide)).toContain('Also spelt caption_extention, which wins')
  })

  it('tells kinds, requirements and contradictions', () => {
    expect(explainOption('is_reg', wide)).toContain('For DreamBooth only, not beside metadata_file.')
    expect(explainOption('image_dir', wide)).toContain('Required for DreamBooth.')
    expect(explainOption('caption_dropout_rate', wide)).toContain('not for textual inversion')
    expect(explainOption('color_aug', wide)).toContain('  - color_aug contradicts --cache_latents: cached latents')
    expect(explainOption('cache_latents', wide)).toContain('  - random_crop contradicts --cache_latents')
    expect(explainOption('log_prefix', wide)).toContain('  - --log_prefix has no effect without --logging_dir.')
    expect(explainOption('xformers', wide)).toContain('Accepted, without effect.')
    expect(explainOption('cache_info', wide).match(/Accepted, without effect/g)).toHaveLength(2)
    expect(explainOption('network_multiplier', wide)).toContain('Only for train-network.')
    const split = explainOption('--validation_split', wide)
    expect(split).toMatch(/In \[general\] or \[\[datasets\]\]\. Default: 0\..*--validation_split <number>/s)
    expect(explainOption('validation_seed', wide)).toContain('validation_seed may have no effect (error): no pictures')
    expect(explainOption('--resize_interpolation', wide)).toContain('nearest, bilinear, linear, bicubic, cubic, box')
  })

  it('of an option that is not here says why', () => {
    expect(explainOption('--wandb_run_name')).toContain('--wandb_run_name is not needed: logs go to files')
    expect(explainOption('skip_cache_check')).toContain('is not needed: caches are found by')
    expect(explainOption('token_string')).toContain('Of train-textual-inversion, train-textual-inversion-xti.')
  })

  it('of no option is an error with the nearest name', () => {
    expect(() => explainOption('keep_token')).toThrow('there is no option "keep_token". Did you mean "keep_tokens"?')
    for (const name of ['constructor', '__proto__', '', '.*']) expect(() => explainOption(name)).toThrow(ConfigError)
  })

  it('is there for every row, within the width, and every row is listed', () => {
    const list = listOptions(80)
    const names = [...(datasetOptions as readonly DatasetOption[]), ...(trainOptions as readonly TrainOption[])]
    for (const { name } of names) {
      expect(explainOption(name, wide).split('\n')[0]).toBe(name)
      const longest = Math.max(
        ...explainOption(name, 80)
          .split('\n')
          .map((line) => line.length),
      )
      expect(longest, name).toBeLessThanOrEqual(80)
      expect(list).toMatch(new RegExp(`\\b${name}\\b`))
    }
    expect(Math.max(...list.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
  })
})
