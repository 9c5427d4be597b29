import { describe, expect, it } from 'vitest'
import { resolveDatasetConfig } from '../../lib/config/datasetConfig.ts'
import { toml, tomlProblems } from './configFailure.ts'

const fineTuning = `[[datasets]]
resolution = 512
[[datasets.subsets]]
metadata_file = 'meta.json'
`

describe('kinds of data', () => {
  it('stand beside each other in datasets of their own, and share [general]', async () => {
    const { datasets } = await toml(`
[general]
shuffle_caption = true
caption_extension = '.txt'
keep_tokens = 1
[[datasets]]
resolution = 512
keep_tokens = 2
  [[datasets.subsets]]
  image_dir = 'identifier'
  class_tokens = 'sks dog'
  [[datasets.subsets]]
  image_dir = 'captions'
  keep_tokens = 3
  [[datasets.subsets]]
  is_reg = true
  image_dir = 'class'
  class_tokens = 'dog'
[[datasets]]
resolution = [768, 512]
  [[datasets.subsets]]
  image_dir = 'pictures'
  metadata_file = 'meta.json'
  [[datasets.subsets]]
  metadata_file = 'paths.json'
`)
    expect(datasets.map(({ kind }) => kind)).toEqual(['dreambooth', 'fineTuning'])
    expect(datasets[0]!.subsets).toMatchObject([
      { kind: 'dreambooth', imageDir: 'identifier', classTokens: 'sks dog', keepTokens: 2, captionExtension: '.txt' },
      { kind: 'dreambooth', imageDir: 'captions', classTokens: undefined, keepTokens: 3 },
      { kind: 'dreambooth', imageDir: 'class', isReg: true },
    ])
    expect(datasets[1]!.subsets).toMatchObject([
      { kind: 'fineTuning', metadataFile: 'meta.json', imageDir: 'pictures', keepTokens: 1, isReg: false },
      { kind: 'fineTuning', metadataFile: 'paths.json', imageDir: undefined },
    ])
  })

  it('may not be mixed in one dataset', async () => {
    expect(await tomlProblems(`${fineTuning}[[datasets.subsets]]\nimage_dir = 'a'\n`)).toEqual([
      'data.toml:5:1: datasets[0] has subsets with metadata_file and without: move those without into a [[datasets]] table of their own',
    ])
  })

  it.each([
    ['is_reg = false', 'datasets[0]'],
    ["class_tokens = 'dog'", 'datasets[0]'],
    ["caption_extention = '.txt'", 'datasets[0]'],
  ])('refuse %s of the other kind in a subset', async (line) => {
    const [problem, ...more] = await tomlProblems(`${fineTuning}${line}\n`)
    expect(more).toEqual([])
    expect(problem).toBe(
      `data.toml:5:1: option "${line.split(' ')[0]}" is not accepted: it is for DreamBooth data, and datasets[0] is fine-tuning data, since it has metadata_file. Remove it`,
    )
  })

  it('refuse options of the other kind in a dataset, and in [general] where no dataset has them', async () => {
    const inDataset = fineTuning.replace('resolution = 512', "resolution = 512\ncaption_extension = '.txt'")
    expect((await tomlProblems(inDataset))[0]).toMatch(/^data\.toml:3:1: .*it is for DreamBooth data/)
    expect(await tomlProblems(`${fineTuning}[general]\nclass_tokens = 'dog'\n`)).toEqual([
      'data.toml:6:1: option "class_tokens" is not accepted: no dataset is DreamBooth data. Remove it',
    ])
  })

  it('need a folder for DreamBooth and a resolution unless metadata may hold sizes', async () => {
    expect((await toml(fineTuning.replace('resolution = 512\n', ''))).datasets[0]!.resolution).toBeUndefined()
    expect(await tomlProblems("[[datasets]]\n[[datasets.subsets]]\nclass_tokens = 'x'\n")).toEqual([
      expect.stringMatching(/^data\.toml:2:1: option "image_dir" is missing: expected text in quotes/),
    ])
    expect(await tomlProblems("[[datasets]]\n[[datasets.subsets]]\nimage_dir = 'x'\n")).toEqual([
      expect.stringContaining('option "resolution" is missing for datasets[0]'),
    ])
  })
})

describe('a trainer', () => {
  it('that takes one kind refuses the other', async () => {
    const folders = { datasets: [{ resolution: 512, subsets: [{ image_dir: 'a' }] }] }
    await expect(resolveDatasetConfig(folders, { accepts: { kinds: ['fineTuning'] } })).rejects.toThrow(
      'this training takes no DreamBooth data, only fine-tuning: a subset needs metadata_file',
    )
    expect(await tomlProblems(fineTuning, { accepts: { kinds: ['dreambooth'] } })).toEqual([
      'data.toml:4:1: this training takes no fine-tuning data, only DreamBooth: leave metadata_file out',
    ])
  })

  it('without caption dropout refuses its keys at every level, and takes everything else', async () => {
    const accepts = { captionDropout: false }
    const source = `${fineTuning}caption_dropout_rate = 0.0\n[general]\ncaption_dropout_every_n_epochs = 2\ncaption_tag_dropout_rate = 0.1\n`
    expect(await tomlProblems(source, { accepts })).toEqual([
      'data.toml:5:1: option "caption_dropout_rate" is not accepted: this training drops no captions. Remove it',
      expect.stringMatching(/^data\.toml:7:1: option "caption_dropout_every_n_epochs"/),
      expect.stringMatching(/^data\.toml:8:1: option "caption_tag_dropout_rate"/),
    ])
    expect((await toml(fineTuning, { accepts })).datasets).toHaveLength(1)
  })

  it('without a network refuses its strength', async () => {
    const source = `${fineTuning}[general]\nnetwork_multiplier = 0.5\n`
    expect((await toml(source)).datasets[0]!.networkMultiplier).toBe(0.5)
    expect(await tomlProblems(source, { accepts: { network: false } })).toEqual([
      'data.toml:6:1: option "network_multiplier" is not accepted: this training is not of a network. Remove it',
    ])
  })
})
