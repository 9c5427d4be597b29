/** Tensors on the device that is measured: what benchmarks of ops make their inputs with. */
import * as create from '../lib/tensor/create.ts'
import type { DeviceName } from '../lib/tensor/tensor.ts'

/** Set by run.ts for the processes it starts. */
export const device: DeviceName = process.env.NOISEWRIGHT_BENCH_DEVICE === 'cuda' ? 'cuda' : 'cpu'

export const tensor: typeof create.tensor = (data, shape, options) => create.tensor(data, shape, { device, ...options })
export const full: typeof create.full = (shape, value, options) => create.full(shape, value, { device, ...options })
export const zeros: typeof create.zeros = (shape, options) => create.zeros(shape, { device, ...options })
export const randomNormal: typeof create.randomNormal = (shape, options) =>
  create.randomNormal(shape, { device, ...options })
export const randomUniform: typeof create.randomUniform = (shape, options) =>
  create.randomUniform(shape, { device, ...options })
