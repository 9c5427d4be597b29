/** From the options of a training, as people write them, to its typed configuration. */

import { loadLocalExport, namesLocalExport } from '../../config/localExport.ts'
import { readTrainConfigFile } from '../../config/trainConfigFile.ts'
import {
  type GivenTrainOptions,
  readTrainArguments,
  type TrainerName,
  type TrainOptionReading,
} from '../../config/trainOptions.ts'
import type { DescribeDataset } from '../../data/datasetGroup.ts'
import type { NetworkClass } from '../../networks/network.ts'
import { ConfigError } from '../../util/errors.ts'
import { didYouMean } from '../../util/nearest.ts'
import { planOptimizer } from '../optimizerPlan.ts'
import { fusedBackwardProblems } from '../step/fusedBackwardRules.ts'
import type {
  DreamBoothConfig,
  FineTuneConfig,
  TextualInversionConfig,
  TrainConfig,
  TrainNetworkConfig,
} from '../trainConfig.ts'
import { type TrainingConfigs, trainings } from '../trainings.ts'
import { checkTrainOptions, notesOnTrainOptions } from './checkOptions.ts'
import { type NetworkArguments, networkModules, readNetworkArguments } from './networkArguments.ts'
import { readOptimizerOptions } from './optimizerOptions.ts'
import { type TrainOptionValues, trainingBlocks, withDefaults } from './trainingBlocks.ts'

export interface ParsedTraining<Config extends TrainConfig = TrainConfig> {
  readonly config: Config
  /** What the user should know but need not mend: options that have no effect here. */
  readonly notes: readonly string[]
  /** How to show the data in place of a training; null: train. */
  readonly debugDataset: DebugDatasetOptions | null
  /** Port of the page that shows the training; 0: any free one. Undefined: no page. */
  readonly dashboardPort: number | undefined
  /** How the command line tells how it goes. */
  readonly messages: ConsoleLogOptions
}

/** What `--console_log_level` and `--console_log_file` ask for. */
export interface ConsoleLogOptions {
  /** The least that is told; `error`: nothing but errors. */
  readonly level: 'info' | 'warning' | 'error'
  /** File for it in place of the console. */
  readonly file: string | null
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
export async function parseTraining<Name extends TrainerName>(
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
  const network = await networkOptions(given)
  const data = await datasetFunction(given)
  problems.push(...optimizer.problems, ...network.problems, ...data.problems)
  const values = withDefaults(trainer, given)
  const { trackerName } = trainings[trainer]
  const config = {
    ...trainingBlocks(trainer, values, given, {
      optimizer: optimizer.config,
      trackerName,
      describe: data.describe,
    }),
    ...methodBlocks[trainer](values, network),
  } as TrainingConfigs[Name]
  if (optimizer.problems.length === 0) {
    const kind = trainings[trainer]
    const plan = planOptimizer(config.optimizer, kind.trainedGroups(config))
    problems.push(...plan.problems, ...fusedBackwardProblems(kind, config, plan))
  }
  if (problems.length > 0) throw new ConfigError(problems.join('\n'))
  const { dashboard, dashboard_port, console_log_level } = values
  return {
    config,
    notes: notesOnTrainOptions(trainer, given),
    debugDataset: debugOf(given),
    dashboardPort: dashboard || given.dashboard_port !== undefined ? dashboard_port : undefined,
    messages: { level: messageLevels[console_log_level], file: given.console_log_file ?? null },
  }
}

/** What the names of Python's levels leave. */
const messageLevels = {
  DEBUG: 'info',
  INFO: 'info',
  WARNING: 'warning',
  ERROR: 'error',
  CRITICAL: 'error',
} as const satisfies Record<string, ConsoleLogOptions['level']>

interface NetworkOptions {
  readonly facts: NetworkArguments
  /** A class of the user's own. */
  readonly own: NetworkClass | null
  readonly multipliers: readonly number[]
  readonly problems: readonly string[]
}

async function networkOptions(given: GivenTrainOptions): Promise<NetworkOptions> {
  const { network_module: module = 'networks.lora', network_args = [], base_weights_multiplier = [] } = given
  const problems: string[] = []
  let own: NetworkClass | null = null
  if (namesLocalExport(module)) {
    try {
      own = (await loadLocalExport('--network_module', module)) as unknown as NetworkClass
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      problems.push(error.message)
    }
  } else if (!(networkModules as readonly string[]).includes(module))
    problems.push(
      `--network_module must be one of ${networkModules.join(', ')}, or ./file.js#Class, found "${module}".${didYouMean(module, networkModules)}`,
    )
  const context = { module, dim: given.network_dim ?? null, dropout: given.network_dropout ?? null }
  const { facts, problems: wrong } = readNetworkArguments(network_args, context)
  const multipliers = base_weights_multiplier.map(Number)
  if (multipliers.some((each) => !Number.isFinite(each)))
    problems.push(`--base_weights_multiplier must be numbers, found ${base_weights_multiplier.join(' ')}`)
  if (multipliers.length > (given.base_weights ?? []).length && given.base_weights !== undefined)
    problems.push('--base_weights_multiplier has more numbers than --base_weights has files')
  return { facts, own, multipliers, problems: [...problems, ...wrong] }
}

async function datasetFunction({ dataset_class: name }: GivenTrainOptions): Promise<{
  readonly describe: DescribeDataset | null
  readonly problems: readonly string[]
}> {
  if (name === undefined) return { describe: null, problems: [] }
  try {
    // What it gives is checked as a dataset file is.
    return { describe: (await loadLocalExport('--dataset_class', name)) as DescribeDataset, problems: [] }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return { describe: null, problems: [error.message] }
  }
}

type MethodBlock<Config extends TrainConfig> = (
  values: TrainOptionValues,
  network: NetworkOptions,
) => Omit<Config, keyof TrainConfig>

/** What each kind of training has of its own. */
const methodBlocks: { readonly [Name in TrainerName]: MethodBlock<TrainingConfigs[Name]> } = {
  'fine-tune': fineTuneBlock,
  'train-db': dreamBoothBlock,
  'train-network': networkBlock,
  'train-textual-inversion': inversionBlock,
  'train-textual-inversion-xti': inversionBlock,
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

function inversionBlock(values: TrainOptionValues): Pick<TextualInversionConfig, 'inversion'> {
  return {
    inversion: {
      tokenString: values.token_string ?? '',
      vectorCount: values.num_vectors_per_token ?? 1,
      initWord: values.init_word ?? null,
      weights: values.weights ?? null,
      template: values.use_object_template ? 'object' : values.use_style_template ? 'style' : null,
    },
  }
}

function networkBlock(
  values: TrainOptionValues,
  { facts, own, multipliers }: NetworkOptions,
): Pick<TrainNetworkConfig, 'network'> {
  return {
    network: {
      dim: values.network_dim ?? null,
      alpha: values.network_alpha ?? null,
      dropout: values.network_dropout ?? null,
      ...facts,
      ...(own && { choice: own }),
      weights: values.network_weights ?? null,
      dimFromWeights: values.dim_from_weights ?? false,
      baseWeights: values.base_weights ?? [],
      baseWeightsMultiplier: multipliers,
      scaleWeightNorms: values.scale_weight_norms || null,
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
