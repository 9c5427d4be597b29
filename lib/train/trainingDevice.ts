/** The device that a training computes on. */
import { tensor } from '../tensor/create.ts'
import { openDevice } from '../tensor/device.ts'
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
    await openDevice(device)
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

/** @throws ConfigError when a paged optimizer is told where its files lie, and there are none on this device */
export function expectNoFolder(device: DeviceName, { row, plan }: OptimizerPlan): void {
  if (device === 'cpu' || row?.paged !== true || (plan.arguments.folder ?? null) === null) return
  const message = `--optimizer_args: folder has no meaning on device ${device}, where ${row.name} keeps its states in pinned host memory and not in files; leave it out`
  throw new ConfigError(message, { option: 'optimizer_args' })
}
