import { expectedDevice, readDevice } from '../config/deviceName.ts'
import {
  type PreparedEvent,
  type PrepareLatentsOptions,
  prepareBucketsLatents,
} from '../prepare/prepareBucketsLatents.ts'
import type { DeviceName } from '../tensor/tensor.ts'
import { computeTypes } from '../train/openTraining.ts'
import type { MixedPrecision } from '../train/trainConfig.ts'
import { ConfigError, exitCodes } from '../util/errors.ts'
import { downloadLines } from './fileProgress.ts'
import { formatCount } from './format.ts'
import type { CliHost } from './host.ts'
import { listenForInterrupts } from './interrupts.ts'
import { createProgress } from './progress.ts'

/** The paths that the command is given, in their order. */
export type PrepareLatentsPaths = Pick<PrepareLatentsOptions, 'trainDataDir' | 'inJson' | 'outJson' | 'model'>

/** Options by their names on the command line. */
export interface PrepareLatentsCommandOptions {
  readonly batch_size: number
  readonly max_data_loader_n_workers?: number
  readonly max_resolution: string
  readonly min_bucket_reso: number
  readonly max_bucket_reso: number
  readonly bucket_reso_steps: number
  readonly bucket_no_upscale?: true
  readonly mixed_precision: MixedPrecision
  readonly device: string
  readonly full_path?: true
  readonly flip_aug?: true
  readonly skip_existing?: true
  readonly recursive?: true
  readonly on_bad_image: 'error' | 'skip'
  readonly ignore_exif?: true
  readonly shard?: string
}

/** `noisewright prepare-buckets-latents`. @returns the exit code: ok, or interrupted, when no metadata were written */
export async function prepareLatentsCommand(
  paths: PrepareLatentsPaths,
  options: PrepareLatentsCommandOptions,
  host: CliHost,
): Promise<number> {
  const progress = await createProgress(host.stderr)
  const interrupts = listenForInterrupts(host, {
    onFirst: () => host.stderr.write('stopping after the pictures in hand; no metadata are written\n'),
    onSecond: () => progress.stop(),
  })
  try {
    const onDownload = downloadLines(host)
    const work = prepareBucketsLatents({ ...paths, ...optionsOf(options), signal: interrupts.signal, onDownload })
    for await (const event of work) {
      if (event.type === 'cache') progress.update(event)
      else if (event.type === 'warning') {
        progress.clear()
        host.stderr.write(`warning: ${event.message}\n`)
      } else {
        progress.stop()
        host.stdout.write(describe(event, paths.outJson))
        if (event.reason === 'interrupted') return exitCodes.interrupted
      }
    }
    return exitCodes.ok
  } finally {
    progress.stop()
    interrupts.stop()
  }
}

function optionsOf(options: PrepareLatentsCommandOptions): Omit<PrepareLatentsOptions, keyof PrepareLatentsPaths> {
  const { max_data_loader_n_workers: workers, mixed_precision, shard } = options
  const resolution = /^ *(\d+) *, *(\d+) *$/.exec(options.max_resolution)
  if (resolution === null) {
    const message = `max_resolution must be two whole numbers such as 512,512, found ${JSON.stringify(options.max_resolution)}`
    throw new ConfigError(message, { option: 'max_resolution' })
  }
  const device = readDevice(options.device)
  if (device === undefined)
    throw new ConfigError(`device must be ${expectedDevice}, found ${JSON.stringify(options.device)}`, {
      option: 'device',
    })
  return {
    batchSize: options.batch_size,
    ...(workers === undefined ? {} : { workers: Math.max(1, workers) }),
    maxResolution: [Number(resolution[1]), Number(resolution[2])],
    minBucketReso: options.min_bucket_reso,
    maxBucketReso: options.max_bucket_reso,
    bucketResoSteps: options.bucket_reso_steps,
    bucketNoUpscale: options.bucket_no_upscale === true,
    dtype: computeTypes[mixed_precision],
    device: device as DeviceName,
    fullPath: options.full_path === true,
    flipAug: options.flip_aug === true,
    skipExisting: options.skip_existing === true,
    recursive: options.recursive === true,
    onBadImage: options.on_bad_image,
    ignoreExif: options.ignore_exif === true,
    ...(shard === undefined ? {} : { shard: parseShard(shard) }),
  }
}

function parseShard(text: string): { readonly index: number; readonly count: number } {
  const match = /^(\d+)\/(\d+)$/.exec(text)
  const [index, count] = [Number(match?.[1]), Number(match?.[2])]
  if (match === null || index >= count) {
    const expected = 'a part and the number of parts, such as 0/2 and 1/2'
    throw new ConfigError(`shard must be ${expected}, found ${JSON.stringify(text)}`, { option: 'shard' })
  }
  return { index, count }
}

function describe(event: PreparedEvent, outJson: string): string {
  const { buckets, meanAspectError, encoded, kept, skipped, entries } = event
  const lines = buckets.map(({ width, height, count }) => `bucket ${width}x${height}: ${formatCount(count, 'picture')}`)
  lines.push(`mean aspect ratio error: ${meanAspectError}`)
  lines.push(`latents: ${encoded} written, ${kept} kept, ${skipped.length} left out`)
  for (const path of skipped) lines.push(`left out: ${path}`)
  if (entries !== null) lines.push(`wrote ${outJson}: ${entries} entries`)
  return lines.map((line) => `${line}\n`).join('')
}
