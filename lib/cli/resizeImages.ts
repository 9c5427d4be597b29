import { resizeImages } from '../prepare/resizeImages.ts'
import { exitCodes } from '../util/errors.ts'
import { formatCount } from './format.ts'
import type { CliHost } from './host.ts'

/** Options by their names on the command line. */
export interface ResizeImagesCommandOptions {
  readonly max_resolution: string
  readonly divisible_by: string
  readonly interpolation: keyof typeof methods
  readonly save_as_png?: true
  readonly copy_associated_files?: true
}

const methods = { area: 'area', cubic: 'cubic', lanczos4: 'lanczos' } as const

/** `noisewright resize-images`. @returns the exit code */
export async function resizeImagesCommand(
  source: string,
  target: string,
  options: ResizeImagesCommandOptions,
  host: CliHost,
): Promise<number> {
  const { images, files, warnings } = await resizeImages(source, target, {
    maxResolutions: options.max_resolution.split(',').map((text) => text.trim()),
    divisibleBy: Number(options.divisible_by),
    method: methods[options.interpolation],
    saveAsPng: options.save_as_png === true,
    copyAssociatedFiles: options.copy_associated_files === true,
    onFile: (file, what) => host.stdout.write(`${what} ${file}\n`),
  })
  for (const warning of warnings) host.stderr.write(`warning: ${warning}\n`)
  host.stdout.write(`wrote ${formatCount(files, 'file')} of ${formatCount(images, 'picture')} to ${target}\n`)
  return exitCodes.ok
}
