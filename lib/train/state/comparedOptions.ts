/** Options of a training that decide its result: a state is of one set of them. */
import type { TrainConfig } from '../trainConfig.ts'

/** Blocks and options that change where and how often something is written, or how fast it goes, and nothing else. */
const withoutInfluence: readonly string[] = [
  ...['output', 'preview', 'logging', 'state', 'hub', 'data.workers', 'data.cacheFolder', 'data.cacheLatentsToDisk'],
  // Cached captions have the bits of those that are encoded in each step.
  ...['data.cacheTextEncoderOutputs', 'data.cacheTextEncoderOutputsToDisk'],
  // Whether an empty caption is allowed, not what it is.
  'data.onMissingCaption',
  // A cached latent is a function of its picture, not of the pictures that were encoded beside it.
  'data.vaeBatchSize',
  // Told apart by what they hold, not by where they lie.
  ...['data.source', 'model.path', 'model.vae'],
  // Names of the data set's own options; what came of them is compared.
  'data.fallbacks',
  // What has been computed elsewhere goes on here, with other rounding.
  'training.device',
  // The same bits either way.
  ...[
    'training.noCudaGraphs',
    'training.keptWeightsBytes',
    'training.gradientCheckpointing',
    'training.fusedBackwardPass',
  ],
  // How often is measured, and how much of what is held out.
  ...['validation.everySteps', 'validation.everyEpochs', 'validation.maxBatches'],
  // The length of a run may change, and a state knows where it stands; the seed is compared on its own.
  ...['training.maxSteps', 'training.maxEpochs', 'training.start', 'training.seed'],
  ...['training.onNonFinite', 'training.maxSkippedSteps', 'network.trainingComment', 'network.noMetadata'],
  'optimizer.argumentTexts',
]

/** The deciding options by their paths: `training.noiseOffset`. Options left out are as if they were null. */
export function comparedOptions(config: TrainConfig): Record<string, unknown> {
  const options: Record<string, unknown> = {}
  const walk = (path: string, value: unknown): void => {
    if (withoutInfluence.includes(path)) return
    if (typeof value === 'function') options[path] = value.name
    else if (typeof value === 'object' && value !== null && !Array.isArray(value))
      for (const [key, each] of Object.entries(value)) walk(path === '' ? key : `${path}.${key}`, each)
    else if (value !== null && value !== undefined && value !== false) options[path] = value
  }
  walk('', config)
  return options
}

/** One line for each option that differs. */
export function differingOptions(
  before: Readonly<Record<string, unknown>>,
  now: Readonly<Record<string, unknown>>,
): string[] {
  const paths = [...new Set([...Object.keys(before), ...Object.keys(now)])].sort()
  const show = (value: unknown): string => (value === undefined ? 'not set' : JSON.stringify(value))
  return paths
    .filter((path) => JSON.stringify(before[path]) !== JSON.stringify(now[path]))
    .map((path) => `${path}: ${show(before[path])} in the state, ${show(now[path])} now`)
}
