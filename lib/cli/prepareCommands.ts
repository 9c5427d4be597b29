/** The commands that prepare training data. Each also has the name of the script that other trainers have for it. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { CliHost } from './host.ts'
import type { PrepareLatentsCommandOptions } from './prepareBucketsLatents.ts'
import type { MergeTextsCommandOptions } from './prepareTexts.ts'
import type { ResizeImagesCommandOptions } from './resizeImages.ts'

/** Adds the commands on captions, tags, metadata, sizes and latents. */
export function addPrepareCommands(program: Command, host: CliHost, setExitCode: (code: number) => void): void {
  const merge = (name: string, field: 'caption' | 'tags', extension: string): Command =>
    program
      .command(name)
      .alias(name.replaceAll('-', '_'))
      .argument('<train_data_dir>', 'a folder of pictures, with a text file beside each')
      .argument('<out_json>', 'the metadata file to be written')
      .option('--in_json <file>', 'metadata to add to; default: what out_json holds already')
      .option(
        '--full_path',
        'keys are paths, which start as train_data_dir was given; default: names without extension',
      )
      .option('--recursive', 'look into subfolders; needs --full_path')
      .option('--caption_extension <extension>', `of the text files; default: ${extension}`)
      .option('--debug', 'print every text')
      .action(async (folder: string, outJson: string, options: MergeTextsCommandOptions) => {
        const { mergeTextsCommand } = await import('./prepareTexts.ts')
        setExitCode(await mergeTextsCommand(field, folder, outJson, options, host))
      })
  merge('merge-captions-to-metadata', 'caption', '.caption')
    .description('Put the captions beside pictures into a metadata file for fine-tuning.')
    .option('--caption_extention <extension>', 'the same, as older scripts spell it')
  merge('merge-dd-tags-to-metadata', 'tags', '.txt').description(
    'Put the tags beside pictures into a metadata file for fine-tuning.',
  )

  program
    .command('clean-captions-and-tags')
    .alias('clean_captions_and_tags')
    .description('Clean captions and tags of a metadata file that models have written.')
    .argument('<json...>', 'in_json and out_json: the metadata file to be read and the one to be written')
    .option('--rules <file>', 'rules in place of the default ones: a file like assets/cleaningRules.toml, TOML or JSON')
    .option('--debug', 'print every text that is changed, before and after')
    .action(async (paths: string[], options: { rules?: string; debug?: true }) => {
      const { cleanTextsCommand } = await import('./prepareTexts.ts')
      setExitCode(await cleanTextsCommand(paths, options, host))
    })

  program
    .command('resize-images')
    .alias('resize_images_to_resolution')
    .description('Write smaller copies of the pictures of a folder, and copy its other files.')
    .argument('<src_img_folder>', 'a folder of pictures')
    .argument('<dst_img_folder>', 'a folder to be written')
    .option('--max_resolution <list>', 'WxH,WxH,...: the largest areas', '512x512,384x384,256x256,128x128')
    .option('--divisible_by <pixels>', 'crop both sides to multiples of this', '1')
    .addOption(
      new Option('--interpolation <method>', 'how pictures are shrunk, as by OpenCV; area passes over no pixel')
        .choices(['area', 'cubic', 'lanczos4'])
        .default('area'),
    )
    .option('--save_as_png', 'write PNG files; default: JPEG of quality 100')
    .option('--copy_associated_files', "copy files of a picture's name, such as captions, with its new names")
    .action(async (source: string, target: string, options: ResizeImagesCommandOptions) => {
      const { resizeImagesCommand } = await import('./resizeImages.ts')
      setExitCode(await resizeImagesCommand(source, target, options, host))
    })
  addPrepareLatents(program, host, setExitCode)
}

function addPrepareLatents(program: Command, host: CliHost, setExitCode: (code: number) => void): void {
  const choice = (flags: string, help: string, choices: readonly string[], first: string): Option =>
    new Option(flags, help).choices(choices).default(first)
  program
    .command('prepare-buckets-latents')
    .alias('prepare_buckets_latents')
    .description('Encode pictures beforehand: latents beside them, training sizes in the metadata.')
    .argument('<train_data_dir>', 'a folder of pictures')
    .argument('<in_json>', 'the metadata file to be read')
    .argument('<out_json>', 'the metadata file to be written')
    .argument('<model_name_or_path>', 'a model or a VAE: a file, a folder or a hub id')
    .option('--v2', 'accepted; the files tell')
    .option('--batch_size <number>', 'pictures encoded at once', positive, 1)
    .option(
      '--max_data_loader_n_workers <number>',
      'pictures read at a time; default: 8, at most the processors',
      whole,
    )
    .option('--max_resolution <width,height>', 'area of the training sizes', '512,512')
    .option('--min_bucket_reso <pixels>', 'shortest side of a training size', positive, 256)
    .option('--max_bucket_reso <pixels>', 'longest side of a training size', positive, 1024)
    .option('--bucket_reso_steps <pixels>', 'sides are multiples of this, and of 8', positive, 64)
    .option('--bucket_no_upscale', 'never enlarge pictures')
    .addOption(choice('--mixed_precision <type>', 'of the VAE; files are float32', ['no', 'fp16', 'bf16'], 'no'))
    .option('--device <device>', 'where pictures are encoded: cpu, cuda or cuda:1', 'cpu')
    .option('--full_path', 'keys are paths, as train_data_dir was given; default: names without extension')
    .option('--flip_aug', 'mirrored pictures too; without it their files are removed where pictures are encoded')
    .option('--skip_existing', 'keep latents of the right size; whether picture and VAE are the same is not checked')
    .option('--recursive', 'look into subfolders')
    .addOption(choice('--on_bad_image <what>', 'what to do about an unreadable picture', ['error', 'skip'], 'error'))
    .option('--ignore_exif', 'take pictures as they lie in the file, whatever orientation EXIF tells')
    .option('--shard <part/parts>', 'encode a part of the pictures, such as 0/2; part 0 writes the metadata')
    .action(
      async (
        trainDataDir: string,
        inJson: string,
        outJson: string,
        model: string,
        options: PrepareLatentsCommandOptions,
      ) => {
        const { prepareLatentsCommand } = await import('./prepareBucketsLatents.ts')
        setExitCode(await prepareLatentsCommand({ trainDataDir, inJson, outJson, model }, options, host))
      },
    )
}

function whole(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('Expected a whole number.')
  return Number(text)
}

function positive(text: string): number {
  if (whole(text) < 1) throw new InvalidArgumentError('Expected a whole number of at least 1.')
  return whole(text)
}
