/** From the options of a training, as people write them, to its typed configuration. */
import { readTrainConfigFile } from '../config/trainConfigFile.ts'
import { type GivenTrainOptions, readTrainArguments, type TrainOptionReading } from '../config/trainOptions.ts'
import { ConfigError } from '../util/errors.ts'
import { checkTrainOptions, notesOnTrainOptions } from './checkOptions.ts'
import { type NetworkArguments, readNetworkArguments } from './networkArguments.ts'
import { readOptimizerOptions } from './optimizerOptions.ts'
import { planOptimizer } from './optimizerPlan.ts'
import type { DreamBoothConfig, FineTuneConfig, TrainConfig, TrainNetworkConfig } from './trainConfig.ts'
import { type TrainOptionValues, trainingBlocks, withDefaults } from './trainingBlocks.ts'
import { type TrainingConfigs, trainings } from './trainings.ts'

export interface ParsedTraining<Config extends TrainConfig = TrainConfig> {
  readonly config: Config
  /** What the user should know but need not mend: options that have no effect here. */
  readonly notes: readonly string[]
  /** How to show the data in place of a training; null: train. */
  readonly debugDataset: DebugDatasetOptions | null
  /** Port of the page that shows the training; 0: any free one. Undefined: no page. */
  readonly dashboardPort: number | undefined
}

/** What `--debug_dataset` shows, and where. */
export interface DebugDatasetOptions {
  /** Null: all of one epoch. */
  readonly maxBatches: number | null
  /** File that the batches are written into as a page. */
  readonly html: string | null
  /** Port of this machine at which the page is served; 0: any free one. */
  readonly port: number | null
}

export interface ParseOptions {
  /** Whether options that a look at the data can do without may be missing; they are empty texts then. Default false. */
  readonly dataOnly?: boolean
}

/**
 * Reads the arguments after a training's command, and the configuration file they may name; the command line wins over the file.
 *
 *   const { config } = await parseTraining('train-network', ['--pretrained_model_name_or_path', 'model', ...])
 *   for await (const event of trainNetwork(config)) ...
 *
 * @throws ConfigError that names every problem of the command line and of the file, one on a line
 */
export async function parseTraining<Name extends keyof TrainingConfigs>(
  trainer: Name,
  args: readonly string[],
  { dataOnly = false }: ParseOptions = {},
): Promise<ParsedTraining<TrainingConfigs[Name]>> {
  const line = readTrainArguments(args, trainer)
  const problems = [...line.problems]
  let file: TrainOptionReading = { given: {}, unreadable: new Set(), problems: [] }
  const { config_file: path } = line.given
  if (path !== undefined) {
    try {
      file = await readTrainConfigFile(path, trainer)
    } catch (error) {
      if (!(error instanceof ConfigError) || problems.length === 0) throw error
      throw new ConfigError([...problems, error.message].join('\n'), { option: 'config_file' }, { cause: error })
    }
    problems.push(...file.problems)
  }
  const given: GivenTrainOptions = { ...file.given, ...line.given }
  const unreadable = new Set([...file.unreadable, ...line.unreadable])
  problems.push(...checkTrainOptions(trainer, given, { unreadable, dataOnly }))
  const optimizer = await readOptimizerOptions(given)
  const network = readNetworkArguments(given.network_args ?? [])
  problems.push(...optimizer.problems, ...network.problems)
  const values = withDefaults(trainer, given)
  const { trackerName } = trainings[trainer]
  const config = {
    ...trainingBlocks(trainer, values, given, { optimizer: optimizer.config, trackerName }),
    ...methodBlocks[trainer](values, network.facts),
  } as TrainingConfigs[Name]
  if (optimizer.problems.length === 0)
    problems.push(...planOptimizer(config.optimizer, trainings[trainer].trainedGroups(config)).problems)
  if (problems.length > 0) throw new ConfigError(problems.join('\n'))
  const { dashboard, dashboard_port } = values
  return {
    config,
    notes: notesOnTrainOptions(trainer, given),
    debugDataset: debugOf(given),
    dashboardPort: dashboard || given.dashboard_port !== undefined ? dashboard_port : undefined,
  }
}

type MethodBlock<Config extends TrainConfig> = (
  values: TrainOptionValues,
  network: NetworkArguments,
) => Omit<Config, keyof TrainConfig>

/** What each kind of training has of its own. */
const methodBlocks: { readonly [Name in keyof TrainingConfigs]: MethodBlock<TrainingConfigs[Name]> } = {
  'fine-tune': fineTuneBlock,
  'train-db': dreamBoothBlock,
  'train-network': networkBlock,
}

function fineTuneBlock(values: TrainOptionValues): Pick<FineTuneConfig, 'fineTune'> {
  const { train_text_encoder: trainTextEncoder = false, learning_rate_te } = values
  return { fineTune: { trainTextEncoder, textEncoderLearningRate: learning_rate_te ?? null } }
}

function dreamBoothBlock(values: TrainOptionValues): Pick<DreamBoothConfig, 'dreamBooth'> {
  return {
    dreamBooth: {
      stopTextEncoderTraining: values.stop_text_encoder_training ?? null,
      textEncoderLearningRate: values.learning_rate_te ?? null,
      noTokenPadding: values.no_token_padding ?? false,
    },
  }
}

function networkBlock(values: TrainOptionValues, network: NetworkArguments): Pick<TrainNetworkConfig, 'network'> {
  return {
    network: {
      dim: values.network_dim ?? null,
      alpha: values.network_alpha ?? null,
      dropout: values.network_dropout ?? null,
      ...network,
      trainUnet: !values.network_train_text_encoder_only,
      trainTextEncoder: !values.network_train_unet_only,
      trainingComment: values.training_comment ?? null,
    },
  }
}

function debugOf(given: GivenTrainOptions): DebugDatasetOptions | null {
  if (!given.debug_dataset) return null
  return {
    maxBatches: given.debug_dataset_max_batches ?? null,
    html: given.debug_dataset_html ?? null,
    port: given.debug_dataset_port ?? null,
  }
}
