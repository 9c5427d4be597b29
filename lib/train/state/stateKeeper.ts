/** Writes all that a run needs to go on from where it stands, with the same results as if it had not stopped. */
import type { ModelFingerprints } from '../../checkpoints/modelFingerprints.ts'
import { atomicFolder } from '../../io/atomicFolder.ts'
import { atomicWrite, type WritableFileSystem } from '../../io/atomicWrite.ts'
import { type SafetensorsTensor, writeSafetensors } from '../../io/safetensors.ts'
import { bytesOf, type FileDType } from '../../io/tensorBytes.ts'
import type { Optimizer } from '../../optim/optimizer.ts'
import type { DType } from '../../tensor/dtype.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ArgumentError } from '../../util/errors.ts'
import type { RunIdentity, TrainingMethod } from '../method.ts'
import type { LossAverage } from '../plan/schedule.ts'
import type { LossScaler } from '../step/lossScaler.ts'
import type { SkippedSteps } from '../step/skippedSteps.ts'
import type { TrainConfig } from '../trainConfig.ts'
import { deviceOf } from '../trainingDevice.ts'
import { comparedOptions } from './comparedOptions.ts'
import { type DataFacts, manifestText, type RunPosition, type StateManifest, stateFiles } from './manifest.ts'

export interface StateKeeperParts {
  readonly kind: string
  readonly config: TrainConfig
  readonly seed: number
  readonly run: RunIdentity
  readonly model: ModelFingerprints
  readonly data: DataFacts
  readonly method: Pick<TrainingMethod, 'groups'>
  readonly optimizer: Optimizer
  readonly fileSystem?: WritableFileSystem | undefined
}

/** What a run counts. */
export interface RunCounters {
  readonly average: LossAverage
  readonly skipped: SkippedSteps
  /** Null: the loss is not scaled. */
  readonly lossScaler: LossScaler | null
}

export class StateKeeper {
  readonly #parts: StateKeeperParts

  constructor(parts: StateKeeperParts) {
    this.#parts = parts
  }

  /**
   * Writes a state folder, whole or not at all; one of that name is replaced.
   * @returns the bytes written
   * @throws IoError when it cannot be written
   */
  async save(folder: string, position: RunPosition, { average, skipped, lossScaler }: RunCounters): Promise<number> {
    const { kind, config, seed, run, model, data, method, optimizer, fileSystem } = this.#parts
    const { optimizer: name, steps, tensors, scalars = {} } = optimizer.state()
    const manifest: StateManifest = {
      format: 1,
      kind,
      device: deviceOf(config),
      seed,
      run,
      position,
      average: average.state,
      skipped: skipped.state,
      ...(lossScaler && { lossScaler: lossScaler.state() }),
      optimizer: { name, steps, scalars },
      options: comparedOptions(config),
      model,
      data,
    }
    const parameters = method.groups.flatMap(({ params }) => params)
    const options = fileSystem === undefined ? {} : { fileSystem }
    let bytes = 0
    await atomicFolder(
      folder,
      async (temporary) => {
        const files = stateFiles(temporary)
        bytes += await writeSafetensors(
          files.parameters,
          parameters.map(({ name, master }) => stateEntry(name, master)),
          options,
        )
        bytes += await writeSafetensors(
          files.optimizer,
          Array.from(tensors, ([name, tensor]) => stateEntry(name, tensor)),
          options,
        )
        // Last: a folder with a manifest is complete.
        const text = manifestText(manifest)
        await atomicWrite(files.manifest, text, options)
        bytes += Buffer.byteLength(text)
      },
      { marker: 'manifest.json' },
    )
    return bytes
  }
}

/** Types of the tensors of states, in memory and in files. */
export const stateTypes = {
  float32: 'F32',
  bfloat16: 'BF16',
  float16: 'F16',
  uint8: 'U8',
  int8: 'I8',
  int32: 'I32',
  int64: 'I64',
} as const satisfies Partial<Record<DType, FileDType>>

/** As it lies in memory: a state is for this library alone. */
function stateEntry(name: string, tensor: Tensor): SafetensorsTensor {
  const dtype = (stateTypes as Partial<Record<DType, FileDType>>)[tensor.dtype]
  if (dtype === undefined)
    throw new ArgumentError('StateKeeper', name, `one of ${Object.keys(stateTypes).join(', ')}`, tensor.dtype)
  return { name, dtype, shape: tensor.shape, data: async () => bytesOf(await tensor.read()) }
}
