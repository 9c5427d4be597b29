/** The commands that prepare training data. Each also has the name of the script that other trainers have for it. */
import { type Command, Option } from 'commander'
import type { CliHost } from './host.ts'
import type { MergeTextsCommandOptions } from './prepareTexts.ts'
import type { ResizeImagesCommandOptions } from './resizeImages.ts'

/** Adds `merge-captions-to-metadata`, `merge-dd-tags-to-metadata`, `clean-captions-and-tags` and `resize-images`. */
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
      new Option('--interpolation <method>', 'cubic is not available')
        .choices(['area', 'cubic', 'lanczos4'])
        .default('area'),
    )
    .option('--save_as_png', 'write PNG files; default: JPEG of quality 100')
    .option('--copy_associated_files', "copy files of a picture's name, such as captions, with its new names")
    .action(async (source: string, target: string, options: ResizeImagesCommandOptions) => {
      const { resizeImagesCommand } = await import('./resizeImages.ts')
      setExitCode(await resizeImagesCommand(source, target, options, host))
    })
}
