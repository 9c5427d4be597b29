import { describe, expect, it } from 'vitest'
import { resolveDatasetConfig } from '../../lib/config/datasetConfig.ts'
import { checkMetadataSizes } from '../../lib/config/datasetRules.ts'
import { toml, tomlProblems } from './configFailure.ts'

/** A configuration of one subset, from line 3 [general], from line 6 the dataset, from line 10 the subset. */
function source({ general = '', dataset = '', subset = '' }): string {
  return `
[general]
${general}

[[datasets]]
${dataset}
resolution = 512
[[datasets.subsets]]
image_dir = 'pictures'
${subset}
`
}

describe('options that contradict', () => {
  it.each(['color_aug', 'random_crop'])('cached latents: %s', async (key) => {
    expect(await tomlProblems(source({ subset: `${key} = true` }), { cacheLatents: true })).toEqual([
      `data.toml:10:1: option "${key}" contradicts --cache_latents for pictures: cached latents are of pictures that do not change; leave out one of the two`,
    ])
    expect((await toml(source({ subset: `${key} = false` }), { cacheLatents: true })).notes).toEqual([])
    expect((await toml(source({ subset: `${key} = true` }))).notes).toEqual([])
  })

  it('for one of several subsets are named with it, where the key stands', async () => {
    const several = `${source({ general: 'color_aug = true' })}[[datasets.subsets]]\nimage_dir = 'plain'\ncolor_aug = false\n`
    expect(await tomlProblems(several, { cacheLatents: true })).toEqual([
      expect.stringMatching(/^data\.toml:3:1: option "color_aug" contradicts --cache_latents for pictures:/),
    ])
  })

  it('on the command line alone are errors too, unless the file says no', async () => {
    const options = { cacheLatents: true, fallbacks: { color_aug: true } }
    expect(await tomlProblems(source({}), options)).toEqual([
      expect.stringMatching(/^--color_aug contradicts --cache_latents for pictures:/),
    ])
    expect((await toml(source({ general: 'color_aug = false' }), options)).datasets).toHaveLength(1)
  })

  it.each([
    'shuffle_caption = true',
    'enable_wildcard = true',
    'caption_dropout_rate = 0.5',
    'caption_dropout_every_n_epochs = 2',
    'caption_tag_dropout_rate = 0.5',
    'token_warmup_step = 10',
  ])('captions that are encoded once: %s', async (line) => {
    const problems = await tomlProblems(source({ subset: line }), { cacheTextEncoderOutputs: true })
    expect(problems).toEqual([
      expect.stringMatching(/^data\.toml:10:1: option "\w+" contradicts --cache_text_encoder_outputs for pictures:/),
    ])
    expect((await toml(source({ subset: line }))).datasets).toHaveLength(1)
  })
})

describe('options without effect', () => {
  it.each([
    [{ dataset: 'min_bucket_reso = 256' }, 'enable_bucket is not set'],
    [{ dataset: 'max_bucket_reso = 2048' }, 'enable_bucket is not set'],
    [{ dataset: 'bucket_reso_steps = 32' }, 'enable_bucket is not set'],
    [{ dataset: 'bucket_no_upscale = true' }, 'enable_bucket is not set'],
    [{ dataset: 'min_bucket_reso = 128\nenable_bucket = true\nbucket_no_upscale = true' }, 'makes buckets from'],
    [{ dataset: 'max_bucket_reso = 2048\nenable_bucket = true\nbucket_no_upscale = true' }, 'makes buckets from'],
    [
      { dataset: 'enable_bucket = true', subset: 'face_crop_aug_range = [1.0, 3.0]' },
      'with enable_bucket pictures are cropped to their buckets',
    ],
    [{ subset: 'token_warmup_min = 2' }, 'there is no warm-up of tags without token_warmup_step'],
    [{ subset: "secondary_separator = ','\nshuffle_caption = true" }, 'it is what caption_separator is'],
    [{ subset: "caption_separator = ';'" }, 'there is no secondary_separator to become it'],
  ])('are errors: %j', async (levels, because) => {
    const problems = await tomlProblems(source(levels))
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatch(/^data\.toml:(6|10):1: option "\w+" has no effect: /)
    expect(problems[0]).toContain(because)
  })

  it.each([
    { dataset: 'bucket_no_upscale = false' },
    { subset: 'token_warmup_min = 2\ntoken_warmup_step = 0.5' },
    { subset: "caption_separator = ';'\nshuffle_caption = true" },
    { subset: "caption_separator = ';'\nsecondary_separator = '|'" },
    { subset: 'keep_tokens = 0' },
    { subset: 'keep_tokens = 1\ncaption_tag_dropout_rate = 0.1' },
    { subset: 'keep_tokens = 1\ntoken_warmup_step = 100' },
    { subset: 'face_crop_aug_range = [1, 3]' },
  ])('are none of these: %j', async (levels) => {
    expect((await toml(source(levels))).notes).toEqual([])
  })

  it('do not include limits that bucket_no_upscale needs to enclose the resolution', async () => {
    const large = source({
      dataset: 'enable_bucket = true\nbucket_no_upscale = true\nmax_bucket_reso = 2048',
    }).replace('512', '[1280, 768]')
    expect((await toml(large)).notes).toEqual([])
    const small = large.replace('max_bucket_reso = 2048', 'min_bucket_reso = 64').replace('[1280, 768]', '128')
    expect((await toml(small)).notes).toEqual([])
  })

  it('of face crops beside cached latents are errors', async () => {
    expect(await tomlProblems(source({ general: 'face_crop_aug_range = [1.0, 3.0]' }), { cacheLatents: true })).toEqual(
      [
        'data.toml:3:1: option "face_crop_aug_range" has no effect: latents are cached, of pictures cropped at their centre',
      ],
    )
  })

  it('are notes where the files of other trainers have them', async () => {
    const lines = "keep_tokens = 1\nkeep_tokens_separator = '|||'\nshuffle_caption = false"
    const { notes } = await toml(source({ subset: lines }))
    expect(notes).toEqual([
      'data.toml:10:1: option "keep_tokens" has no effect: tags stay where they are without shuffle_caption, caption_tag_dropout_rate and token_warmup_step',
      expect.stringMatching(
        /^data\.toml:11:1: option "keep_tokens_separator" has no effect: .*; it stays in captions as it is$/,
      ),
    ])
  })

  it('are fine in an outer table that serves another dataset', async () => {
    const twoDatasets = (second: string): string => `
[general]
min_bucket_reso = 320
[[datasets]]
resolution = 512
subsets = [{ image_dir = 'a' }]
[[datasets]]
resolution = 512
enable_bucket = ${second}
subsets = [{ image_dir = 'a' }]
`
    expect((await toml(twoDatasets('true'))).datasets).toHaveLength(2)
    expect(await tomlProblems(twoDatasets('false'))).toEqual([
      'data.toml:3:1: option "min_bucket_reso" has no effect: enable_bucket is not set',
    ])
  })

  it('on the command line are notes, since one script serves many files', async () => {
    const { notes } = await toml(source({}), {
      fallbacks: { min_bucket_reso: 320, max_bucket_reso: 1024, keep_tokens: 1 },
    })
    expect(notes).toEqual([
      '--min_bucket_reso has no effect: enable_bucket is not set',
      expect.stringMatching(/^--keep_tokens has no effect: tags stay/),
    ])
  })

  it('on the command line include those that the file decides everywhere', async () => {
    const fallbacks = { resolution: 768, batch_size: 4, flip_aug: true, keep_tokens: 0, caption_extension: '.txt' }
    const raw = {
      datasets: [{ resolution: 512, subsets: [{ metadata_file: 'a.json', flip_aug: false }] }],
    }
    expect((await resolveDatasetConfig(raw, { fallbacks })).notes).toEqual([
      '--resolution is not used, since each dataset has its own resolution',
      '--caption_extension is not used, since no dataset is DreamBooth data',
      '--flip_aug is not used, since each subset has its own flip_aug',
    ])
  })
})

describe('values', () => {
  it('of the face range are two numbers, with fractions or without, the smaller first', async () => {
    for (const range of ['[1, 3]', '[1.0, 3.0]', '[1, 3.0]']) {
      const { datasets } = await toml(source({ subset: `face_crop_aug_range = ${range}` }))
      expect(datasets[0]!.subsets[0]!.faceCropAugRange).toEqual([1, 3])
    }
    expect(await tomlProblems(source({ subset: 'face_crop_aug_range = [3, 1.5]' }))).toEqual([
      'data.toml:10:1: option "face_crop_aug_range" must have the smaller number first, found [3, 1.5]: swap them',
    ])
    expect(await tomlProblems(source({}), { fallbacks: { face_crop_aug_range: [2, 1] } })).toEqual([
      '--face_crop_aug_range must have the smaller number first, found [2, 1]: swap them',
    ])
    expect(await tomlProblems(source({ subset: 'face_crop_aug_range = [1]' }))).toEqual([
      'data.toml:10:1: option "face_crop_aug_range" must be a list of two numbers ([least, most]), each of at least 0, found nothing at index 1',
    ])
  })

  it('of numbers may be whole, and are numbers either way', async () => {
    const lines = 'caption_dropout_rate = 1.0\ntoken_warmup_step = 100\ncaption_tag_dropout_rate = 0'
    expect((await toml(source({ subset: lines }))).datasets[0]!.subsets[0]).toMatchObject({
      captionDropoutRate: 1,
      tokenWarmupStep: 100,
      captionTagDropoutRate: 0,
    })
  })

  it.each([
    ['caption_dropout_rate = 1.5', 'must be a number from 0 to 1, found 1.5'],
    ['caption_dropout_rate = nan', 'must be a number from 0 to 1, found NaN'],
    ['caption_dropout_every_n_epochs = 1.0', 'must be a whole number of at least 0, found 1.0 (a float)'],
    ["resize_interpolation = 'cubik'", 'found "cubik"'],
    ['token_warmup_step = inf', 'found Infinity'],
  ])('of %s are refused', async (line, message) => {
    expect((await tomlProblems(source({ subset: line }))).join()).toContain(message)
  })
})

describe('sizes in metadata', () => {
  const dataset = { resolution: [512, 512], bucketNoUpscale: false } as const

  it('of all pictures replace the resolution and contradict bucket_no_upscale', () => {
    expect(checkMetadataSizes({ ...dataset, resolution: undefined }, true)).toEqual([])
    expect(checkMetadataSizes({ ...dataset, bucketNoUpscale: true }, true)).toMatchObject([
      { option: 'bucket_no_upscale' },
    ])
  })

  it('of some pictures leave the resolution needed', () => {
    expect(checkMetadataSizes({ ...dataset, bucketNoUpscale: true }, false)).toEqual([])
    expect(checkMetadataSizes({ ...dataset, resolution: undefined }, false)).toMatchObject([{ option: 'resolution' }])
  })
})
