/** A small data set with everything that its page has to show, and the view of it. */
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { resolveDatasetConfig } from '../../lib/config/datasetConfig.ts'
import { loadDatasetGroup } from '../../lib/data/datasetGroup.ts'
import { DatasetView } from '../../lib/debugDataset/datasetView.ts'
import { type ShownCaptions, showCaptions } from '../../lib/train/inputs/shownCaptions.ts'
import { makeFolder } from './pictures.ts'

export const hostileCaption = '</script><script>document.title = "taken"</script> a frog, on a log'

/** Two subsets, four buckets, a copy, a tiny picture, a caption that is too long and one that looks like markup. */
export async function makeDebugView(): Promise<{ readonly view: DatasetView; readonly folder: string }> {
  const folder = await makeFolder({
    'a/wide.png': [96, 64],
    'a/wide.caption': hostileCaption,
    'a/tall.png': [64, 100],
    'a/tiny.png': [20, 20],
    'b/frog.jpg': [64, 64],
    'b/frog.caption': `${'word '.repeat(90)}`,
  })
  await copyFile(join(folder, 'a/wide.png'), join(folder, 'b/copy.png'))
  const config = await resolveDatasetConfig({
    general: { resolution: 64, enable_bucket: true, min_bucket_reso: 32, max_bucket_reso: 128, bucket_reso_steps: 16 },
    datasets: [
      {
        batch_size: 2,
        subsets: [
          { image_dir: join(folder, 'a'), num_repeats: 2, flip_aug: true, color_aug: true, random_crop: true },
          { image_dir: join(folder, 'b'), class_tokens: 'a thing' },
        ],
      },
    ],
  })
  const group = await loadDatasetGroup({ config }, { seed: 7 })
  return { view: await DatasetView.open(group, { captions: await plainCaptions() }), folder }
}

/** Captions of at most 75 tokens for a model of 1.x. */
export function plainCaptions(): Promise<ShownCaptions> {
  const model = { path: '', v2: false, vParameterization: false, vae: null, clipSkip: null, maxTokenLength: null }
  return showCaptions({ model, data: {} }, 0)
}
