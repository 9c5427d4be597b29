/** The device that a training computes on. */
import { tensor } from '../tensor/create.ts'
import type { DeviceName } from '../tensor/tensor.ts'
import { ArgumentError, ConfigError, NativeError } from '../util/errors.ts'
import type { OptimizerPlan } from './optimizerPlan.ts'
import type { TrainConfig } from './trainConfig.ts'

/** Where models, pictures and optimizer states of a training are. */
export function deviceOf({ training }: Pick<TrainConfig, 'training'>): DeviceName {
  return training.device ?? 'cpu'
}

/**
 * Looks whether a device is there and starts it, before anything is loaded.
 * @throws ConfigError with the reason when it cannot be used
 */
export async function expectDevice(device: DeviceName): Promise<void> {
  if (device === 'cpu') return
  try {
    const probe = tensor([0], [1], { device })
    try {
      await probe.read()
    } finally {
      probe.dispose()
    }
  } catch (error) {
    if (!(error instanceof NativeError || error instanceof ArgumentError)) throw error
    const message = `device ${device} cannot be used: ${error.message}; --device cpu computes on the CPU`
    throw new ConfigError(message, { option: 'device' }, { cause: error })
  }
}

/** @throws ConfigError when the optimizer keeps its states in files, which no GPU reaches */
export function expectStatesInReach(device: DeviceName, { row }: OptimizerPlan): void {
  if (device === 'cpu' || row?.statesInFiles !== true) return
  const other = row.name.replace(/^Paged/, '')
  const message = `--optimizer_type ${row.name} keeps its states in files, which device ${device} does not reach: use ${other}, or --device cpu`
  throw new ConfigError(message, { option: 'optimizer_type' })
}
