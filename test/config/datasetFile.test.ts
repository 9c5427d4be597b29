import { describe, expect, it } from 'vitest'
import { type DatasetFile, resolveDatasetConfig } from '../../lib/config/datasetConfig.ts'

describe('the type of a dataset file', () => {
  it('takes both kinds, every level and the alias', async () => {
    const file: DatasetFile = {
      general: { resolution: [512, 768], shuffle_caption: true, class_tokens: 'dog', keep_tokens_separator: '|||' },
      datasets: [
        { batch_size: 2, caption_extention: '.txt', subsets: [{ image_dir: 'a', is_reg: true, num_repeats: 3 }] },
        { bucket_reso_steps: undefined, subsets: [{ metadata_file: 'm.json', face_crop_aug_range: [1, 2] }] },
      ],
    }
    const { datasets } = await resolveDatasetConfig(file)
    expect(datasets.map(({ kind }) => kind)).toEqual(['dreambooth', 'fineTuning'])
  })

  it('refuses what the loader refuses', async () => {
    const wrong: readonly DatasetFile[] = [
      // @ts-expect-error a subset needs a folder or metadata
      { datasets: [{ resolution: 8, subsets: [{ num_repeats: 1 }] }] },
      // @ts-expect-error regularization pictures are of DreamBooth only
      { datasets: [{ resolution: 8, subsets: [{ metadata_file: 'm', is_reg: true }] }] },
      // @ts-expect-error classes are of DreamBooth only
      { datasets: [{ resolution: 8, class_tokens: 'dog', subsets: [{ metadata_file: 'm' }] }] },
      // @ts-expect-error a dataset is of one kind
      { datasets: [{ resolution: 8, subsets: [{ image_dir: 'a' }, { metadata_file: 'm' }] }] },
      // @ts-expect-error an option of datasets
      { datasets: [{ resolution: 8, subsets: [{ image_dir: 'a', batch_size: 2 }] }] },
      // @ts-expect-error an unknown option
      { general: { keep_token: 1 }, datasets: [{ resolution: 8, subsets: [{ image_dir: 'a' }] }] },
      // @ts-expect-error an unknown choice
      { general: { resize_interpolation: 'boxes' }, datasets: [{ resolution: 8, subsets: [{ image_dir: 'a' }] }] },
      // @ts-expect-error a number as text
      { datasets: [{ resolution: '8', subsets: [{ image_dir: 'a' }] }] },
    ]
    for (const file of wrong) await expect(resolveDatasetConfig(file), JSON.stringify(file)).rejects.toThrow()
  })
})
