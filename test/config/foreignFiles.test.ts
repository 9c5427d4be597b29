import { describe, expect, it } from 'vitest'
import { toml } from './configFailure.ts'

/** Files with the keys, levels and combinations of the samples in sd-scripts' documentation. */
const files: Readonly<Record<string, string>> = {
  'two kinds': `
[general]
shuffle_caption = true
caption_extension = '.txt'
keep_tokens = 1
[[datasets]]
resolution = 512
batch_size = 4
keep_tokens = 2
  [[datasets.subsets]]
  image_dir = 'C:\\first'
  class_tokens = 'first girl'
  [[datasets.subsets]]
  image_dir = 'C:\\second'
  class_tokens = 'second boy'
  keep_tokens = 3
  [[datasets.subsets]]
  is_reg = true
  image_dir = 'C:\\class'
  class_tokens = 'human'
  keep_tokens = 1
[[datasets]]
resolution = [768, 768]
batch_size = 2
  [[datasets.subsets]]
  image_dir = 'C:\\third'
  metadata_file = 'C:\\third\\meta.json'
`,
  'one folder at two resolutions': `
[[datasets]]
resolution = 512
  [[datasets.subsets]]
  image_dir = 'C:\\first'
[[datasets]]
resolution = 768
  [[datasets.subsets]]
  image_dir = 'C:\\first'
`,
  'identifier and class': `
[general]
enable_bucket = true # comment
[[datasets]]
resolution = 512
batch_size = 4
  [[datasets.subsets]]
  image_dir = 'C:\\first'
  class_tokens = 'first girl'
  num_repeats = 10
  [[datasets.subsets]]
  is_reg = true
  image_dir = 'C:\\class'
  class_tokens = 'girl'
  num_repeats = 1
`,
  'separators and wildcards': `
[general]
flip_aug = true
color_aug = false
resolution = [1024, 1024]
[[datasets]]
batch_size = 6
enable_bucket = true
bucket_no_upscale = true
caption_extension = ".txt"
keep_tokens_separator= "|||"
shuffle_caption = true
caption_tag_dropout_rate = 0.1
secondary_separator = ";;;"
enable_wildcard = true
  [[datasets.subsets]]
  image_dir = "/path/to/folder"
  num_repeats = 1
  caption_prefix = "1girl, name |||"
  caption_suffix = ", screencap ||| masterpiece"
`,
  'every size given': `
[general]
resolution = 512
enable_bucket = true
bucket_reso_steps = 8
min_bucket_reso = 256
max_bucket_reso = 1024
[[datasets]]
batch_size = 1
  [[datasets.subsets]]
  image_dir = "pictures"
  caption_extension = ".txt"
`,
}

/** The same, where something that stays without effect is said to be so. */
const withNotes: Readonly<Record<string, readonly [text: string, option: string]>> = {
  'a separator without shuffling': [
    `
[general]
flip_aug = true
keep_tokens_separator= "|||"
shuffle_caption = false
caption_tag_dropout_rate = 0
caption_extension = ".txt"
[[datasets]]
batch_size = 2
enable_bucket = true
resolution = [1024, 1024]
  [[datasets.subsets]]
  image_dir = "pictures"
[[datasets]]
batch_size = 3
enable_bucket = true
resolution = [768, 768]
  [[datasets.subsets]]
  image_dir = "pictures"
`,
    'keep_tokens_separator',
  ],
  'kept tokens without shuffling': [
    `
[general]
shuffle_caption = false
caption_extension = ".txt"
keep_tokens = 1
[[datasets]]
resolution = 512
batch_size = 4
enable_bucket = true
  [[datasets.subsets]]
  image_dir = "pictures"
  caption_extension = ".txt"
  num_repeats = 10
`,
    'keep_tokens',
  ],
}

describe("sd-scripts' own files", () => {
  it.each(Object.entries(files))('load unchanged: %s', async (_, text) => {
    const { datasets, notes } = await toml(text)
    expect(datasets.length).toBeGreaterThan(0)
    expect(notes).toEqual([])
  })

  it.each(Object.entries(withNotes))('load unchanged, with a note: %s', async (_, [text, option]) => {
    const { notes } = await toml(text)
    expect(notes).toHaveLength(1)
    expect(notes[0]).toContain(`option "${option}" has no effect`)
  })
})
