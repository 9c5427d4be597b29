import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DatasetOption, datasetOptions } from '../../lib/config/datasetOptions.ts'
import { type TrainOption, trainOptionsOf } from '../../lib/config/trainOptions.ts'
import { parseTraining } from '../../lib/train/options/parseTraining.ts'
import { trainNetwork } from '../../lib/train/trainings.ts'
import { eventsOf, tinyTraining } from '../support/tinyTraining.ts'

const model = ['--pretrained_model_name_or_path', 'model', '--output_dir', 'out']
const folders = [...model, '--train_data_dir', 'pictures', '--resolution', '64']

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noisewright-data-options-'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('options of the data', () => {
  it('that a dataset configuration has too are rows of the command line with the same type and default', () => {
    for (const option of datasetOptions) {
      if (!('commandLine' in option)) continue
      const twin = trainOptionsOf('train-network').get(option.commandLine)
      expect(twin, option.name).toBeDefined()
      const isSameType = twin!.type === option.type || (twin!.type === 'flag' && option.type === 'boolean')
      expect(isSameType, option.name).toBe(true)
      expect(twin!.default, option.name).toBe(option.default)
      const limits = (row: TrainOption | DatasetOption): unknown[] => [row.minimum, row.maximum, row.choices]
      if (option.type !== 'resolution') expect(limits(twin!), option.name).toEqual(limits(option))
    }
  })

  it('all become fallbacks of the dataset configuration', async () => {
    const args = `--color_aug --random_crop --face_crop_aug_range 1.0,3 --alpha_mask --resize_interpolation auto
      --caption_dropout_rate 0.1 --caption_dropout_every_n_epochs 2 --caption_tag_dropout_rate 0.2 --token_warmup_min 3
      --token_warmup_step 0.5 --caption_prefix a --caption_suffix b --caption_separator ; --secondary_separator ;;
      --keep_tokens_separator | --enable_wildcard --shuffle_caption --keep_tokens 1 --flip_aug --enable_bucket
      --min_bucket_reso 64 --max_bucket_reso 128 --bucket_reso_steps 8 --bucket_no_upscale --train_batch_size 2
      --dataset_repeats 4 --caption_extension .txt --validation_split 0.25 --validation_seed 5`
    const { config } = await parseTraining('train-network', [...folders, ...args.split(/\s+/)])
    const given = Object.entries(config.data.fallbacks).filter(([, value]) => value !== undefined)
    const names = datasetOptions.filter((option) => 'commandLine' in option).map(({ name }) => name as string)
    expect(given.map(([name]) => name).sort()).toEqual(names.sort())
    expect(config.data.fallbacks).toMatchObject({
      color_aug: true,
      face_crop_aug_range: [1, 3],
      resize_interpolation: 'auto',
      token_warmup_step: 0.5,
      keep_tokens_separator: '|',
      caption_separator: ';',
      validation_split: 0.25,
      validation_seed: 5,
    })
  })

  it('of caches, bad pictures and workers come to their places', async () => {
    const args = `--cache_latents_to_disk --cache_dir caches --cache_text_encoder_outputs --network_train_unet_only
      --on_bad_image skip --ignore_exif --max_data_loader_n_workers 3`
    const { config, notes } = await parseTraining('train-network', [...folders, ...args.split(/\s+/)])
    expect(config.data).toMatchObject({
      cacheLatents: true,
      cacheLatentsToDisk: true,
      cacheFolder: 'caches',
      cacheTextEncoderOutputs: true,
      onBadImage: 'skip',
      ignoreExif: true,
      workers: 3,
    })
    expect(notes).toEqual(['--cache_latents_to_disk switches --cache_latents on'])
    expect(config.data).not.toHaveProperty('cacheTextEncoderOutputsToDisk')
    const inFiles = [
      ...folders,
      '--cache_text_encoder_outputs_to_disk',
      '--network_train_unet_only',
      '--cache_dir',
      'x',
    ]
    const kept = await parseTraining('train-network', inFiles)
    expect(kept.config.data).toMatchObject({ cacheTextEncoderOutputs: true, cacheTextEncoderOutputsToDisk: true })
    expect(kept.notes).toEqual(['--cache_text_encoder_outputs_to_disk switches --cache_text_encoder_outputs on'])
    const one = await parseTraining('train-network', [
      ...folders,
      '--max_data_loader_n_workers',
      '0',
      '--weighted_captions',
    ])
    expect(one.config.data).toMatchObject({ workers: 1, weightedCaptions: true, cacheLatents: false })
    expect((await parseTraining('train-network', folders)).config.data).not.toHaveProperty('workers')
  })

  it('name metadata for fine-tuning, with the folder of its pictures or without', async () => {
    const metadata = [...model, '--in_json', 'meta.json']
    expect((await parseTraining('train-network', metadata)).config.data.source).toEqual({ metadataFile: 'meta.json' })
    const { config, notes } = await parseTraining('train-network', [
      ...metadata,
      ...['--train_data_dir', 'pictures', '--reg_data_dir', 'reg', '--color_aug'],
    ])
    expect(config.data.source).toEqual({ metadataFile: 'meta.json', imageDir: 'pictures' })
    expect(notes).toEqual([
      '--reg_data_dir is not used, since there are no regularization pictures beside the metadata of --in_json',
      '--color_aug changes pictures: latents that lie in files beside the pictures of --in_json are not used',
    ])
    const withFile = await parseTraining('train-network', [...metadata, '--dataset_config', 'data.toml'])
    expect(withFile.config.data.source).toEqual({ configFile: 'data.toml' })
    expect(withFile.notes).toEqual(['--in_json is not used, since --dataset_config describes the data'])
  })

  it('ask for the data to be shown in place of a training', async () => {
    expect((await parseTraining('train-network', folders)).debugDataset).toBeNull()
    const { debugDataset } = await parseTraining('train-network', [...folders, '--debug_dataset'])
    expect(debugDataset).toEqual({ maxBatches: null, html: null, port: null })
    const args = '--debug_dataset --debug_dataset_max_batches 2 --debug_dataset_html page.html --debug_dataset_port 0'
    expect((await parseTraining('train-network', [...folders, ...args.split(' ')])).debugDataset).toEqual({
      maxBatches: 2,
      html: 'page.html',
      port: 0,
    })
  })

  it.each([
    ['--cache_text_encoder_outputs', '--cache_text_encoder_outputs needs --network_train_unet_only'],
    ['--cache_text_encoder_outputs_to_disk', '--cache_text_encoder_outputs needs --network_train_unet_only'],
    [
      '--cache_text_encoder_outputs --network_train_unet_only --weighted_captions',
      '--cache_text_encoder_outputs contradicts --weighted_captions',
    ],
  ])('%s are refused', async (args, message) => {
    await expect(parseTraining('train-network', [...folders, ...args.split(' ')])).rejects.toThrow(message)
  })

  it('names files, not folders', async () => {
    for (const name of ['../up', 'nul'])
      await expect(parseTraining('train-network', [...folders, '--output_name', name])).rejects.toThrow(
        '--output_name, or --token_string in its place, must be the name of a file: no folders',
      )
    const config = await tinyTraining('no model', 'no data', { output: { name: 'a/b' } })
    await expect(eventsOf(trainNetwork(config))).rejects.toThrow(
      'output.name must be the name of a file, without folders, found "a/b"',
    )
  })

  it('caches captions of whole models only where their text encoder is not trained', async () => {
    const cached = '--cache_text_encoder_outputs_to_disk'
    const tuned = [...model, '--in_json', 'meta.json', '--train_data_dir', 'x', cached]
    await expect(parseTraining('fine-tune', [...tuned, '--train_text_encoder'])).rejects.toThrow(
      '--cache_text_encoder_outputs contradicts --train_text_encoder',
    )
    expect((await parseTraining('fine-tune', tuned)).config.data.cacheTextEncoderOutputsToDisk).toBe(true)
    const needed = '--cache_text_encoder_outputs needs --stop_text_encoder_training -1'
    await expect(parseTraining('train-db', [...folders, cached])).rejects.toThrow(needed)
    await expect(parseTraining('train-db', [...folders, cached, '--stop_text_encoder_training', '5'])).rejects.toThrow(
      needed,
    )
    const frozen = [...folders, cached, '--stop_text_encoder_training', '-1']
    expect((await parseTraining('train-db', frozen)).config.data.cacheTextEncoderOutputs).toBe(true)
    await expect(parseTraining('train-db', [...frozen, '--no_token_padding'])).rejects.toThrow(
      '--cache_text_encoder_outputs contradicts --no_token_padding',
    )
    await expect(parseTraining('train-textual-inversion', [...folders, cached])).rejects.toThrow(
      `${cached} is an option of`,
    )
  })

  it.each([
    ['--vae_batch_size 4', '--vae_batch_size has no effect without --cache_latents'],
    ['--cache_dir x --cache_latents', '--cache_dir has no effect without --cache_latents_to_disk or'],
    ['--debug_dataset_port 80', '--debug_dataset_port has no effect without --debug_dataset'],
    ['--prior_loss_weight 0.5', '--prior_loss_weight has no effect without --reg_data_dir'],
    ['--clip_skip 2 --v2', '--clip_skip is unusual with --v2'],
    ['--tokenizer_cache_dir x', '--tokenizer_cache_dir changes nothing. The vocabulary of the tokenizer comes with'],
    ['--persistent_data_loader_workers', '--persistent_data_loader_workers changes nothing. The threads'],
  ])('%s are accepted with a note', async (args, note) => {
    const { notes } = await parseTraining('train-network', [...folders, ...args.split(' ')])
    expect(notes).toHaveLength(1)
    expect(notes[0]).toContain(note)
  })

  it.each([
    '--prior_loss_weight 1',
    '--vae_batch_size 1',
    '--vae_batch_size 2 --cache_latents_to_disk --cache_latents',
  ])('%s are accepted without one', async (args) => {
    expect((await parseTraining('train-network', [...folders, ...args.split(' ')])).notes).toEqual([])
  })

  it('may stand in a configuration file, ranges as a text or a list', async () => {
    const file = join(folder, 'ranges.toml')
    for (const range of ['"1.0,3.0"', '[1, 3]', '[1.0, 3.0]']) {
      await writeFile(file, `face_crop_aug_range = ${range}\ntoken_warmup_step = 1.0\ncaption_dropout_rate = 0\n`)
      const { config } = await parseTraining('train-network', [...folders, '--config_file', file])
      expect(config.data.fallbacks).toMatchObject({ face_crop_aug_range: [1, 3], token_warmup_step: 1 })
    }
  })
})
