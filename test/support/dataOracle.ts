/** The fixtures of scripts/reference/data_oracle.py: what sd-scripts makes of the pictures in test/fixtures/data_oracle. */
import { fileURLToPath } from 'node:url'
import type { Size } from '../../lib/data/buckets.ts'
import { loadFixture } from './fixtureCases.ts'

export type Pair = readonly [number, number]

/** The folder that the configurations' paths are relative to, with a slash at its end. */
export const oracleFolder = fileURLToPath(new URL('../fixtures/data_oracle/', import.meta.url))

/** Whether the library turns pictures as their EXIF data say; sd-scripts does not. */
export const turnsUpright: boolean = true

export function loadOracle<T>(name: string): T {
  return loadFixture<T>(`data_oracle/${name}.json`)
}

export function sizeOf([width, height]: Pair): Size {
  return { width, height }
}

export interface PixelDigest {
  readonly size: Pair
  /** Of RGB rows, [h, w, 3]. */
  readonly sha256: string
  /** r, g, b in the middles of 4 x 4 fields, row by row. */
  readonly grid: readonly (readonly number[])[]
}

export interface CroppedDigest extends PixelDigest {
  readonly resized: Pair
}

/** By name of the plan; null where the plan has no bucket for the picture, or where it would become huge. */
export interface PictureDigests {
  readonly decoded: PixelDigest
  readonly cropped: Readonly<Record<string, CroppedDigest | null>>
}

export interface PixelFixture {
  readonly plans: Readonly<
    Record<
      string,
      {
        readonly resolution: Pair
        readonly minimum: number
        readonly maximum: number
        readonly steps: number
        readonly noUpscale: boolean
      }
    >
  >
  readonly pictures: Readonly<
    Record<string, PictureDigests & { readonly mode: string; readonly upright?: PictureDigests }>
  >
}

export interface OracleImage {
  readonly key: string
  readonly path: string
  readonly size: Pair
  readonly bucket: Pair
  readonly resized: Pair
  readonly crop: Pair
  readonly caption: string
  readonly repeats: number
  readonly isReg: boolean
}

export interface OracleDataset {
  readonly batchCount: number
  readonly trainImageCount: number
  readonly regImageCount: number
  readonly subsets: readonly { readonly imageDir: string; readonly imageCount: number }[]
  /** Width, height, pictures with repeats. */
  readonly bucketCounts: readonly (readonly [number, number, number])[]
  readonly bucketInfo: { readonly buckets: object; readonly mean_img_ar_error: number } | null
  readonly tagFrequency: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly images: readonly OracleImage[]
}

export interface OracleGroup {
  readonly batchCount: number
  readonly trainImageCount: number
  readonly regImageCount: number
  readonly datasets: readonly OracleDataset[]
}

/** The reference refuses the configuration. */
export interface OracleError {
  readonly error: string
}

export interface DatasetFixture {
  /** `upright`: with EXIF orientation applied, where that makes a difference. */
  readonly configs: Readonly<Record<string, (OracleGroup & { readonly upright?: OracleGroup }) | OracleError>>
  readonly folders: readonly {
    readonly folder: string
    readonly subset: { readonly numRepeats: number; readonly classTokens: string } | null
  }[]
}
