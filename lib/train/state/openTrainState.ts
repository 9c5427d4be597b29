/** Reads what `StateKeeper` wrote, and refuses to go on with another configuration or other data. */
import type { ModelFingerprints } from '../../checkpoints/modelFingerprints.ts'
import { modelParts } from '../../checkpoints/modelSource.ts'
import type { DatasetGroup } from '../../data/datasetGroup.ts'
import { recoverFolder } from '../../io/replacedFolders.ts'
import { openSafetensors, type SafetensorsFile } from '../../io/safetensors.ts'
import type { ModelPart } from '../../models/stableDiffusion/stableDiffusion.ts'
import { copyInto } from '../../ops/accumulate.ts'
import type { OptimizerGroup } from '../../optim/customOptimizer.ts'
import type { Optimizer } from '../../optim/optimizer.ts'
import { tensor } from '../../tensor/create.ts'
import type { DType } from '../../tensor/dtype.ts'
import { keep } from '../../tensor/scope.ts'
import { formatShape, sameShape } from '../../tensor/shape.ts'
import type { DeviceName, Tensor } from '../../tensor/tensor.ts'
import { CheckpointError, ConfigError, DataError } from '../../util/errors.ts'
import type { TrainConfig } from '../trainConfig.ts'
import { deviceOf } from '../trainingDevice.ts'
import { comparedOptions, differingOptions } from './comparedOptions.ts'
import { dataFacts, type RunPosition, readManifest, type StateManifest, stateFiles } from './manifest.ts'
import { type RunCounters, stateTypes } from './stateKeeper.ts'

const partNames = { unet: 'the U-Net', textEncoder: 'the text encoder', vae: 'the VAE' } as const

export interface OpenStateOptions {
  /** The kind of training that goes on. */
  readonly kind: string
  readonly config: TrainConfig
}

/**
 * Opens a state folder: everything is checked that can be without the model and the data.
 * @throws ConfigError listing the options that differ from those of the state
 * @throws CheckpointError or IoError when the folder is no state or damaged
 */
export async function openTrainState(folder: string, { kind, config }: OpenStateOptions): Promise<SavedTraining> {
  await recoverFolder(folder)
  const manifest = await readManifest(folder)
  if (manifest.kind !== kind)
    throw new ConfigError(`--resume ${folder}: the state is of ${manifest.kind}, not of ${kind}`, { option: 'resume' })
  const differing = differingOptions(manifest.options, comparedOptions(config))
  const { seed } = config.training
  if (seed !== null && seed !== manifest.seed)
    differing.push(`training.seed: ${manifest.seed} in the state, ${seed} now`)
  if (differing.length > 0) {
    const advice = 'Go on with the options of the state, or start a new run'
    throw new ConfigError(
      `--resume ${folder}: the state is of another configuration. ${advice}\n  ${differing.join('\n  ')}`,
      { option: 'resume' },
    )
  }
  const files = stateFiles(folder)
  const parameters = await openSafetensors(files.parameters)
  try {
    return new SavedTraining(folder, manifest, parameters, await openSafetensors(files.optimizer), config)
  } catch (error) {
    await parameters.close()
    throw error
  }
}

/** An open state. */
export class SavedTraining {
  readonly manifest: StateManifest
  /** What the user should know. */
  readonly notes: readonly string[]
  readonly #folder: string
  readonly #parameters: SafetensorsFile
  readonly #optimizer: SafetensorsFile
  readonly #restart: boolean
  readonly #device: DeviceName

  /** Use {@link openTrainState}. */
  constructor(
    folder: string,
    manifest: StateManifest,
    parameters: SafetensorsFile,
    optimizer: SafetensorsFile,
    config: TrainConfig,
  ) {
    this.#folder = folder
    this.manifest = manifest
    this.#parameters = parameters
    this.#optimizer = optimizer
    this.#restart = config.state?.restart === true
    this.#device = deviceOf(config)
    const { step, epoch } = manifest.position
    const before = manifest.device ?? 'cpu'
    const counting = this.#restart ? '; epochs and steps are counted from the start again' : ''
    this.notes = [
      `going on from ${folder}: step ${step}, epoch ${epoch}${counting}`,
      ...(before === this.#device
        ? []
        : [
            `it was computed on ${before} so far and goes on on ${this.#device}: results differ by rounding from here on`,
          ]),
    ]
  }

  /**
   * Parts that are trained come from the state, whatever the model holds.
   * @throws ConfigError when another part is not that of the training that was saved
   */
  expectSameModel(now: ModelFingerprints, trained: readonly ModelPart[]): void {
    const { model: before } = this.manifest
    const others = before && modelParts.filter((part) => !trained.includes(part) && before[part] !== now[part])
    if (!others || others.length === 0) return
    const names = others.map((part) => partNames[part]).join(', ')
    const message = `the state is of a training of another model, with other weights in ${names}. Go on with the model and the VAE that it began with, or start a new run`
    throw new ConfigError(`--resume ${this.#folder}: ${message}`, { option: 'resume' })
  }

  /** @throws DataError when the data set is another one */
  expectSameData(group: DatasetGroup): void {
    const [before, now] = [this.manifest.data, dataFacts(group)]
    if (before.fingerprint === now.fingerprint) return
    const what = (facts: typeof now): string => `${facts.images} pictures in ${facts.batchesPerEpoch} batches`
    const message = `the data set is not the one of the state: ${what(before)} then, ${what(now)} now. Names, sizes, captions, repeats and the options of every subset must be the same`
    throw new DataError(this.#folder, message)
  }

  /**
   * Puts the counters where they were.
   * @returns where the run goes on
   * @throws CheckpointError when the state of a training in float16 lacks the scale of its loss
   */
  position({ average, skipped, lossScaler }: RunCounters): RunPosition {
    const { position, average: losses, skipped: skips, lossScaler: scale } = this.manifest
    skipped.restore(skips)
    if (lossScaler !== null) {
      if (scale === undefined)
        throw new CheckpointError(stateFiles(this.#folder).manifest, 'expected the scale of the loss, found none')
      lossScaler.loadState(scale)
    }
    if (!this.#restart) {
      average.restore(losses)
      return { ...position }
    }
    const { steps, epochs } = position.before
    const before = { steps: steps + position.step, epochs: epochs + position.epoch }
    return { step: 0, epoch: 0, batch: 0, position: 0, passes: position.passes, before }
  }

  /**
   * Puts parameters and moments where they were.
   * @throws CheckpointError when one is missing or of another shape
   */
  async restore(groups: readonly OptimizerGroup[], optimizer: Optimizer): Promise<void> {
    for (const { name, master, copy } of groups.flatMap(({ params }) => params)) {
      const stored = await this.#read(this.#parameters, name, master)
      copyInto(master, stored)
      if (copy) copyInto(copy, stored)
      stored.dispose()
    }
    const tensors = new Map<string, Tensor>()
    try {
      for (const name of this.#optimizer.names) tensors.set(name, await this.#read(this.#optimizer, name))
      const { name, steps, scalars } = this.manifest.optimizer
      optimizer.loadState({ optimizer: name, steps, scalars, tensors })
    } finally {
      for (const each of tensors.values()) each.dispose()
    }
  }

  async #read(file: SafetensorsFile, name: string, like?: Tensor): Promise<Tensor> {
    const { dtype, shape } = file.info(name)
    const type = (Object.keys(stateTypes) as (keyof typeof stateTypes)[]).find((each) => stateTypes[each] === dtype)
    if (type === undefined || (like !== undefined && (!sameShape(shape, like.shape) || type !== like.dtype))) {
      const expected =
        like === undefined ? Object.values(stateTypes).join(', ') : `${like.dtype} ${formatShape(like.shape)}`
      throw new CheckpointError(
        file.path,
        `tensor "${name}": expected ${expected}, found ${dtype} ${formatShape(shape)}`,
      )
    }
    return keep(tensor(await file.read(name), shape, { dtype: type as DType, device: this.#device }))
  }

  async close(): Promise<void> {
    await this.#parameters.close()
    await this.#optimizer.close()
  }
}
