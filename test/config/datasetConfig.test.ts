import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  loadDatasetConfig,
  parseDatasetConfig,
  parseResolution,
  resolveDatasetConfig,
} from '../../lib/config/datasetConfig.ts'
import { ConfigError } from '../../lib/util/errors.ts'

async function failure(run: Promise<unknown>): Promise<ConfigError> {
  const error = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(ConfigError)
  return error as ConfigError
}

function toml(
  source: string,
  options: Parameters<typeof parseDatasetConfig>[2] = {},
): ReturnType<typeof parseDatasetConfig> {
  return parseDatasetConfig(source, 'toml', { file: 'data.toml', ...options })
}

function tomlFailure(source: string, options: Parameters<typeof parseDatasetConfig>[2] = {}): Promise<ConfigError> {
  return failure(toml(source, options))
}

/** A valid configuration with one more line at each level. */
function withLines({ general = '', dataset = '', subset = '' }): string {
  return `[general]
resolution = 512
${general}
[[datasets]]
${dataset}
[[datasets.subsets]]
image_dir = 'pictures'
${subset}
`
}

describe('resolution of values', () => {
  it('fills in the documented defaults', async () => {
    const { datasets } = await toml(withLines({}))
    expect(datasets[0]).toMatchObject({
      resolution: [512, 512],
      batchSize: 1,
      enableBucket: false,
      minBucketReso: 256,
      maxBucketReso: 1024,
      bucketResoSteps: 64,
      bucketNoUpscale: false,
    })
    expect(datasets[0]!.subsets[0]).toMatchObject({
      imageDir: 'pictures',
      classTokens: undefined,
      isReg: false,
      numRepeats: 1,
      captionExtension: '.caption',
      shuffleCaption: false,
      keepTokens: 0,
      flipAug: false,
    })
  })

  it('prefers the subset, then the dataset, then [general], then the command line, then the default', async () => {
    const at = async (levels: Parameters<typeof withLines>[0], fallback?: number): Promise<unknown[]> => {
      const { datasets } = await toml(withLines(levels), { fallbacks: { keep_tokens: fallback } })
      const subset = datasets[0]!.subsets[0]!
      return [subset.keepTokens, subset.origins.keep_tokens]
    }
    const [general, dataset, subset] = ['keep_tokens = 2', 'keep_tokens = 3', 'keep_tokens = 4']
    expect(await at({ general, dataset, subset }, 1)).toEqual([4, 'subset'])
    expect(await at({ general, dataset }, 1)).toEqual([3, 'dataset'])
    expect(await at({ general }, 1)).toEqual([2, 'general'])
    expect(await at({}, 1)).toEqual([1, 'command line'])
    expect(await at({})).toEqual([0, 'default'])
  })

  it('starts at the dataset for options of datasets', async () => {
    const source = withLines({ general: 'batch_size = 2', dataset: 'batch_size = 3' })
    const { datasets } = await toml(source, { fallbacks: { batch_size: 4 } })
    expect([datasets[0]!.batchSize, datasets[0]!.origins.batch_size]).toEqual([3, 'dataset'])
  })

  it('lets false, 0 and empty text in the file beat the command line', async () => {
    const source = withLines({ general: 'flip_aug = false', dataset: 'keep_tokens = 0', subset: 'class_tokens = ""' })
    const { datasets } = await toml(source, { fallbacks: { flip_aug: true, keep_tokens: 5 } })
    expect(datasets[0]!.subsets[0]).toMatchObject({ flipAug: false, keepTokens: 0, classTokens: '' })
  })

  it('gives each dataset and subset its own values', async () => {
    const { datasets } = await toml(`
      [general]
      class_tokens = 'thing'
      [[datasets]]
      resolution = [768, 512]
      [[datasets.subsets]]
      image_dir = 'a'
      class_tokens = 'sls frog'
      [[datasets.subsets]]
      image_dir = 'b'
      is_reg = true
      [[datasets]]
      resolution = 256
      subsets = [{ image_dir = 'c', num_repeats = 7 }]
    `)
    expect(datasets.map((dataset) => dataset.resolution)).toEqual([
      [768, 512],
      [256, 256],
    ])
    expect(datasets[0]!.subsets).toMatchObject([
      { classTokens: 'sls frog', isReg: false },
      { classTokens: 'thing', isReg: true },
    ])
    expect(datasets[1]!.subsets[0]).toMatchObject({ imageDir: 'c', numRepeats: 7, classTokens: 'thing' })
  })

  it('adds a missing dot to the caption extension and lets the misspelt alias win', async () => {
    const source = withLines({ subset: "caption_extension = 'a'\ncaption_extention = 'txt'" })
    expect((await toml(source)).datasets[0]!.subsets[0]).toMatchObject({ captionExtension: '.txt' })
    const outer = withLines({ general: "caption_extention = '.x'", subset: "caption_extension = '.y'" })
    expect((await toml(outer)).datasets[0]!.subsets[0]).toMatchObject({ captionExtension: '.y' })
  })

  it('reads the same from JSON and from an object', async () => {
    const raw = { general: { resolution: 512 }, datasets: [{ subsets: [{ image_dir: 'pictures', flip_aug: true }] }] }
    const fromToml = await toml(withLines({ subset: 'flip_aug = true' }))
    const fromJson = await parseDatasetConfig(JSON.stringify(raw), 'json', { file: 'data.json' })
    expect(fromJson.datasets).toEqual(fromToml.datasets)
    expect((await resolveDatasetConfig(raw)).datasets).toEqual(fromToml.datasets)
  })
})

describe('errors', () => {
  it('names the nearest option with file, line and column', async () => {
    const error = await tomlFailure(withLines({ subset: '  keep_token = 1' }))
    expect(error.message).toBe(
      'data.toml:8:3: unknown option "keep_token" in datasets[0].subsets[0]. Did you mean "keep_tokens"?',
    )
    expect(error.details).toEqual({
      file: 'data.toml',
      line: 8,
      column: 3,
      option: 'datasets[0].subsets[0].keep_token',
    })
    expect(error.exitCode).toBe(2)
  })

  it('finds keys of inline tables and of JSON', async () => {
    const inline = await tomlFailure(
      "[[datasets]]\nresolution = 512\nsubsets = [\n  { image_dir = 'a', flipaug = true },\n]\n",
    )
    expect(inline.details).toMatchObject({ line: 4, column: 22 })
    const json =
      '{\n  "general": {"resolution": 512},\n  "datasets": [\n    {"subsets": [{"image_dir": "a,{", "flipaug": true}]}\n  ]\n}'
    const error = await failure(parseDatasetConfig(json, 'json', { file: 'data.json' }))
    expect(error.message).toMatch(/^data\.json:4:39: unknown option "flipaug".*"flip_aug"\?$/)
  })

  it('reports all problems at once, in file order, details pointing at the first', async () => {
    const error = await tomlFailure(`
[general]
resolution = "512"
[[datasets]]
batchsize = 2
[[datasets.subsets]]
num_repeats = 1.5
[[datasets.subsets]]
image_dir = 'b'
flip_aug = 1
`)
    expect(error.message.split('\n')).toEqual([
      'data.toml:3:1: option "resolution" must be one whole number or a list of two ([width, height]), each at least 8, found "512"',
      'data.toml:5:1: unknown option "batchsize" in datasets[0]. Did you mean "batch_size"?',
      expect.stringMatching(/^data\.toml:6:1: option "image_dir" is missing: expected text in quotes/),
      'data.toml:7:1: option "num_repeats" must be a whole number, found 1.5',
      'data.toml:10:1: option "flip_aug" must be true or false, found 1',
    ])
    expect(error.details).toMatchObject({ line: 3, option: 'general.resolution' })
  })

  it('holds pictures out by [general], a dataset or the command line, not by a subset, and not without a share', async () => {
    const fallbacks = { validation_split: 0.5, validation_seed: 3 }
    const of = async (lines: Parameters<typeof withLines>[0], options = {}) => {
      const [dataset] = (await toml(withLines(lines), options)).datasets
      return [dataset!.validationSplit, dataset!.validationSeed]
    }
    expect(await of({})).toEqual([0, undefined])
    expect(await of({ general: 'validation_split = 0.1\nvalidation_seed = 1' })).toEqual([0.1, 1])
    expect(await of({ dataset: 'validation_split = 0' }, { fallbacks })).toEqual([0, 3])
    expect(await of({}, { fallbacks })).toEqual([0.5, 3])
    expect((await tomlFailure(withLines({ subset: 'validation_split = 0.1' }))).message).toContain(
      'option "validation_split" is not allowed in datasets[0].subsets[0]: move it to [general] or [[datasets]]',
    )
    expect((await tomlFailure(withLines({ general: 'validation_seed = 1' }))).message).toContain(
      'has no effect: no pictures are held out without validation_split',
    )
    expect((await tomlFailure(withLines({ general: 'validation_split = 1.5' }))).message).toContain(
      'must be a number from 0 to 1, found 1.5',
    )
  })

  it('hands custom attributes on as plain values, the innermost table whole', async () => {
    const attributes = 'custom_attributes = { weight = 1.0, tags = ["a", { deep = 0.5 }] }'
    const config = await toml(withLines({ general: 'custom_attributes = { outer = 1 }', subset: attributes }))
    expect(config.datasets[0]!.subsets[0]!.customAttributes).toEqual({ weight: 1, tags: ['a', { deep: 0.5 }] })
    const plain = await toml(withLines({}))
    expect(plain.datasets[0]!.subsets[0]!.customAttributes).toBeUndefined()
    const wrong = await tomlFailure(withLines({ subset: 'custom_attributes = 1' }))
    expect(wrong.message).toContain('option "custom_attributes" must be a table ({ name = value }), found 1')
  })

  it('says where a misplaced option belongs', async () => {
    const inSubset = await tomlFailure(withLines({ subset: 'batch_size = 2' }))
    expect(inSubset.message).toContain(
      '"batch_size" is not allowed in datasets[0].subsets[0]: move it to [general] or [[datasets]]',
    )
    const inGeneral = await tomlFailure(withLines({ general: "image_dir = 'x'" }))
    expect(inGeneral.message).toContain('move it to [[datasets.subsets]]')
    const commandLine = await tomlFailure(withLines({ general: 'cache_latents = true' }))
    expect(commandLine.message).toContain('give it on the command line as --cache_latents')
    const ofTraining = await tomlFailure(withLines({ general: 'learning_rate = 1e-4' }))
    expect(ofTraining.message).toContain('give it on the command line as --learning_rate')
    const twins = await tomlFailure(withLines({ dataset: 'train_batch_size = 2', subset: 'dataset_repeats = 2' }))
    expect(twins.message).toContain('option "train_batch_size" is called "batch_size" in a dataset configuration')
    expect(twins.message).toContain('option "dataset_repeats" is called "num_repeats" in a dataset configuration')
    expect((await tomlFailure(withLines({ subset: 'train_batch_size = 2' }))).message).toContain(
      'is called "batch_size" in a dataset configuration, and stands in [general] or [[datasets]]',
    )
    expect((await tomlFailure('resolution = 512')).message).toContain('move it to [general] or [[datasets]]')
    expect((await tomlFailure('[dataset]\na = 1')).message).toContain(
      'unknown option "dataset" at the top level. Did you mean "datasets"?',
    )
  })

  it.each([
    ['resolution = 512.0', 'found 512.0 (a float)'],
    ['resolution = [512]', 'found [512]'],
    ['resolution = [512, 512, 512]', 'found [512,512,512]'],
    ['resolution = 0', 'found 0'],
    ['batch_size = 0', 'must be a whole number of at least 1, found 0'],
    ['batch_size = true', 'found true'],
    ['enable_bucket = "yes"', 'must be true or false, found "yes"'],
    ['class_tokens = 3', 'must be text in quotes, found 3'],
    ['keep_tokens = -1', 'must be a whole number of at least 0, found -1'],
    ['caption_extension = 1979-05-27', 'found the date 1979-05-27'],
    ['caption_extension = ""', 'must be text in quotes, not empty, found ""'],
    ['caption_separator = ""', 'must be text in quotes, not empty, found ""'],
  ])('rejects %s', async (line, text) => {
    expect((await tomlFailure(`[general]\n${line}\n`)).message).toContain(text)
  })

  it.each([
    ['datasets = 3', 'datasets must be a list of tables ([[datasets]]), found 3'],
    ['[datasets]', 'datasets must be a list of tables'],
    ['general = 1', 'general must be a table, found 1'],
    ['[[datasets]]\nresolution = 512\nsubsets = [1]', 'datasets[0].subsets[0] must be a table, found 1'],
    ['', 'data.toml: there is no dataset'],
    ['[[datasets]]\nresolution = 512', 'datasets[0] has no subset'],
    ["[[datasets]]\n[[datasets.subsets]]\nimage_dir = 'a'", 'option "resolution" is missing for datasets[0]'],
  ])('rejects the structure %j', async (source, text) => {
    expect((await tomlFailure(source)).message).toContain(text)
  })

  it.each([
    [
      { dataset: 'resolution = 500' },
      5,
      'resolution must be divisible by 8, found 500x500: use 504x504, or set enable_bucket',
    ],
    [{ dataset: 'resolution = [512, 260]' }, 5, 'found 512x260'],
    [
      { dataset: 'enable_bucket = true\nmin_bucket_reso = 640' },
      6,
      "must not exceed the resolution's shorter side, found 640 with 512x512",
    ],
    [
      { dataset: 'enable_bucket = true\nmax_bucket_reso = 448' },
      6,
      "must reach the resolution's longer side, found 448 with 512x512",
    ],
    [{ dataset: 'enable_bucket = true\nbucket_no_upscale = true\nmax_bucket_reso = 448' }, 7, 'must reach'],
    [
      { dataset: 'enable_bucket = true\nbucket_reso_steps = 60' },
      6,
      'bucket_reso_steps must be divisible by 8, found 60: use 64',
    ],
    [
      { dataset: 'enable_bucket = true\nmin_bucket_reso = 300' },
      6,
      'min_bucket_reso must be divisible by 8, found 300',
    ],
    [{ dataset: 'enable_bucket = true\nmin_bucket_reso = 32' }, 6, 'must be at least bucket_reso_steps (64), found 32'],
    [{ dataset: 'enable_bucket = true\nmax_bucket_reso = 8192' }, 6, 'leaves buckets of no height'],
  ])('rejects sizes that do not fit together: %j', async (levels, line, text) => {
    const error = await tomlFailure(withLines(levels))
    expect(error.message).toContain(text)
    expect(error.details.line).toBe(line)
  })

  it('can demand a larger multiple for training sizes', async () => {
    const error = await tomlFailure(withLines({ dataset: 'resolution = 520' }), { sizeMultiple: 64 })
    expect(error.message).toContain('resolution must be divisible by 64, found 520x520: use 512x512')
  })

  it('accepts any resolution with buckets, which only take its area', async () => {
    expect(
      (await toml(withLines({ dataset: 'resolution = 500\nenable_bucket = true' }))).datasets[0]!.resolution,
    ).toEqual([500, 500])
  })

  it('checks command-line values by the same table', async () => {
    const error = await tomlFailure(withLines({}), { fallbacks: { batch_size: 0, resolution: 512 } })
    expect(error.message).toBe('--train_batch_size must be a whole number of at least 1, found 0')
    const strange = await tomlFailure(withLines({}), { fallbacks: { image_dir: 'x' } })
    expect(strange.message).toContain('cannot be given as a fallback')
  })

  it('say what to do about paths in double quotes and subsets without their dataset', async () => {
    const path = await tomlFailure('[[datasets]]\n[[datasets.subsets]]\nimage_dir = "C:\\pictures"\n')
    expect(path.message).toMatch(
      /^data\.toml:3:17: not valid TOML: .*\(write paths with backslashes in single quotes\)/,
    )
    const orphan = await tomlFailure("\n[[datasets.subsets]]\nimage_dir = 'a'\n")
    expect(orphan.message).toBe(
      'data.toml:2:1: datasets must be a list of tables ([[datasets]]), found {"subsets":[{"image_dir":"a"}]}. Put a line [[datasets]] before the first [[datasets.subsets]]',
    )
  })

  it('places syntax errors', async () => {
    const broken = await tomlFailure('[general]\nresolution = \n')
    expect(broken.message).toMatch(/^data\.toml:2:14: not valid TOML: invalid value/)
    const json = await failure(parseDatasetConfig('{\n  "general": {\n    nope', 'json', { file: 'data.json' }))
    expect(json.message).toMatch(/^data\.json:3:5: not valid JSON/)
    const cut = await failure(parseDatasetConfig('{\n  "general": {', 'json', { file: 'data.json' }))
    expect(cut.message).toMatch(/^data\.json:2:15: not valid JSON/)
    const word = await failure(parseDatasetConfig('{"general": True}', 'json', { file: 'data.json' }))
    expect(word.message).toMatch(/^data\.json: not valid JSON: .*True/)
  })
})

describe('loadDatasetConfig', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'noisewright-config-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  it('chooses the format by suffix, in any case', async () => {
    const file = join(folder, 'a.TOML')
    await writeFile(file, withLines({}))
    const config = await loadDatasetConfig(file)
    expect([config.file, config.datasets.length]).toEqual([file, 1])
  })

  it('rejects other suffixes, missing files and text that is not UTF-8', async () => {
    expect((await failure(loadDatasetConfig(join(folder, 'a.yaml')))).message).toContain(
      'must be a .toml or .json file',
    )
    expect((await failure(loadDatasetConfig(join(folder, 'none.toml')))).message).toContain('no such file')
    const latin = join(folder, 'latin.toml')
    await writeFile(latin, Buffer.from('# caf\xe9\n', 'latin1'))
    expect((await failure(loadDatasetConfig(latin))).message).toContain('must be UTF-8 text')
  })
})

describe('parseResolution', () => {
  it('reads one or two numbers, width first', () => {
    expect(parseResolution('512')).toEqual([512, 512])
    expect(parseResolution('512, 768')).toEqual([512, 768])
  })

  it.each(['', '512x768', '1,2,3', '5.5', '-512'])('rejects %j', (text) => {
    expect(() => parseResolution(text)).toThrow('one or two whole numbers')
  })
})
