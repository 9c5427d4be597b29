/** What a state folder holds: weights, moments, and in `manifest.json` everything that is not a tensor. */
import { createHash } from 'node:crypto'
import { basename, join } from 'node:path'
import type { ModelFingerprints } from '../../checkpoints/modelFingerprints.ts'
import type { DatasetGroup } from '../../data/datasetGroup.ts'
import { readSmallFile } from '../../io/jsonFile.ts'
import { CheckpointError } from '../../util/errors.ts'
import type { RunIdentity } from '../method.ts'
import type { LossAverage } from '../plan/schedule.ts'
import type { LossScalerState } from '../step/lossScaler.ts'
import type { SkippedSteps } from '../step/skippedSteps.ts'

/** Where a run stands, between two optimizer steps. */
export interface RunPosition {
  /** Optimizer steps done. */
  step: number
  /** Counted from 1; 0 before the first. */
  epoch: number
  /** Batches of this epoch done. */
  batch: number
  /** Optimizer steps of this epoch done. */
  position: number
  /** Whether what is due after the epoch has been done since its last step. Default: it has. */
  epochEnded?: boolean
  /** Batches of the whole run done. */
  passes: number
  /**
   * Steps and epochs of a run before, whose counting was begun anew: its schedule and its random numbers go on. Less than 0: steps
   * that are counted and were passed over.
   */
  before: { readonly steps: number; readonly epochs: number }
}

export interface StateManifest {
  readonly format: 1
  /** Kind of training. */
  readonly kind: string
  /** Where it was computed. Default: the CPU. */
  readonly device?: string | undefined
  readonly seed: number
  readonly run: RunIdentity
  readonly position: RunPosition
  readonly average: LossAverage['state']
  readonly skipped: SkippedSteps['state']
  /** Of trainings in float16. */
  readonly lossScaler?: LossScalerState | undefined
  readonly optimizer: {
    readonly name: string
    readonly steps: Readonly<Record<string, number>>
    readonly scalars: Readonly<Record<string, number>>
  }
  /** Options that decide the result, by their paths in the configuration. */
  readonly options: Readonly<Record<string, unknown>>
  /** Of the model that the training began from. Default: not known. */
  readonly model?: ModelFingerprints | undefined
  readonly data: DataFacts
}

/** What a data set is told apart by. */
export interface DataFacts {
  readonly images: number
  readonly batchesPerEpoch: number
  readonly fingerprint: string
}

/** The files of a state folder. */
export const stateFiles = (folder: string) => ({
  manifest: join(folder, 'manifest.json'),
  parameters: join(folder, 'parameters.safetensors'),
  optimizer: join(folder, 'optimizer.safetensors'),
})

/** Names, sizes, crops, captions and repeats of every picture, in order; not where the folder lies. */
export function dataFacts({ datasets, batchesPerEpoch }: DatasetGroup): DataFacts {
  const hash = createHash('sha256')
  let images = 0
  for (const { config, images: pictures } of datasets) {
    const subsets = config.subsets.map(({ imageDir: _, ...subset }) => subset)
    hash.update(
      JSON.stringify({ ...config, subsets: subsets.map((subset) => ({ ...subset, metadataFile: undefined })) }),
    )
    for (const { path, caption, crop, repeats, lossWeight } of pictures) {
      hash.update(JSON.stringify([basename(path), caption, crop, repeats, lossWeight]))
      images++
    }
  }
  return { images, batchesPerEpoch, fingerprint: hash.digest('hex') }
}

/** Losses of all steps of an epoch are in it. */
const mostManifestBytes = 1 << 28

/** As JSON, which has no infinity: such numbers are texts. */
export function manifestText(manifest: StateManifest): string {
  const plain = (_key: string, value: unknown): unknown =>
    typeof value === 'number' && !Number.isFinite(value) ? { $number: String(value) } : value
  return `${JSON.stringify(manifest, plain, 2)}\n`
}

/**
 * @throws CheckpointError when the folder holds no state, or one of another version
 * @throws IoError when it cannot be read
 */
export async function readManifest(folder: string): Promise<StateManifest> {
  const path = stateFiles(folder).manifest
  const found = revive(parse(path, await readSmallFile(path, mostManifestBytes))) as Partial<StateManifest> | null
  const whole = ['kind', 'seed', 'run', 'position', 'average', 'skipped', 'optimizer', 'options', 'data'] as const
  const missing = whole.filter((key) => found?.[key] === undefined)
  if (found?.format !== 1 || missing.length > 0) {
    const what = found?.format !== 1 ? `format ${JSON.stringify(found?.format)}` : `nothing under ${missing.join(', ')}`
    throw new CheckpointError(path, `expected the manifest of a saved state, format 1, found ${what}`)
  }
  return found as StateManifest
}

function parse(path: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw new CheckpointError(path, `expected the manifest of a saved state (${(error as Error).message})`, {
      cause: error,
    })
  }
}

function revive(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(revive)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
  if (entries.length === 1 && entries[0]![0] === '$number') return Number(entries[0]![1])
  return Object.fromEntries(entries.map(([key, each]) => [key, revive(each)]))
}
