/** From what a plan found in a file to tensors on the device, one by one as a network asks for them. */
import { bytesOf } from '../io/tensorBytes.ts'
import type { StableDiffusionConfig } from '../models/stableDiffusion/config.ts'
import { type ModelPart, StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import { eightBitMatrices } from '../nn/eightBits.ts'
import type { Model, ParameterRequest, WeightSource } from '../nn/weights.ts'
import { cast } from '../ops/cast.ts'
import { type LoadableType, loadParameter } from '../ops/loadParameter.ts'
import { tensor } from '../tensor/create.ts'
import { deferred } from '../tensor/deferred.ts'
import { openDevice } from '../tensor/device.ts'
import type { DType, FloatDType } from '../tensor/dtype.ts'
import { scope } from '../tensor/scope.ts'
import { settleAll } from '../tensor/settle.ts'
import type { DeviceName, Tensor } from '../tensor/tensor.ts'
import { modelParts } from './modelSource.ts'
import { toMemoryLayout } from './parameterFile.ts'
import type { PartPlan, Place } from './partPlan.ts'

const deviceTypes: Readonly<Record<string, DType>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  F8_E4M3: 'float8_e4m3fn',
}

/** The bytes of a tensor that is no one run in its file; they leave when its last parameter has them. */
interface Gathered {
  readonly bytes: Uint8Array
  readonly dtype: DType
  left: number
}

/**
 * Gives a network its parameters, each read from the file when it is asked for, converted and laid out on the way. Tensors that are not one
 * run of bytes in the file (views in PyTorch files) are gathered before.
 * @param device where the parameters are to be. Default cpu
 */
export async function readPlan(plan: PartPlan, device: DeviceName = 'cpu'): Promise<WeightSource> {
  const { file } = plan.file
  await openDevice(device)
  const gathered = new Map<string, Gathered>()
  for (const { key, info } of plan.places.values()) {
    if (info.place !== undefined) continue
    const known = gathered.get(key)
    if (known !== undefined) {
      known.left++
      continue
    }
    const name = plan.file.nameInFile(key)
    const dtype = deviceTypes[info.dtype]
    const bytes = dtype === undefined ? bytesOf(await file.readFloat32(name)) : await file.read(name)
    gathered.set(key, { bytes, dtype: dtype ?? 'float32', left: 1 })
  }
  return (request) =>
    scope(() => {
      const place = plan.place(request.name)
      const whole = gathered.get(place.key)
      if (whole === undefined) return fromDisk(place, request, device)
      if (--whole.left === 0) gathered.delete(place.key)
      return fromMemory(place, whole, request, device)
    })
}

/** Read by the device when it gets there: converted and laid out in one pass. */
function fromDisk({ third, info }: Place, { shape, layout, dtype }: ParameterRequest, device: DeviceName): Tensor {
  const { descriptor, byteOffset } = info.place!
  const offset = byteOffset + (third ?? 0) * (info.byteLength / 3)
  const from = { descriptor, byteOffset: offset }
  const fileDType = info.dtype as LoadableType
  return loadParameter(from, { fileDType, shape, layout: layout === 'conv' ? 'conv' : 'same', dtype, device })
}

function fromMemory(
  { third, info }: Place,
  { bytes, dtype }: Gathered,
  request: ParameterRequest,
  device: DeviceName,
): Tensor {
  const shape = third === null ? info.shape : [info.shape[0]! / 3, ...info.shape.slice(1)]
  const length = third === null ? bytes.length : bytes.length / 3
  const start = (third ?? 0) * length
  const inFile = tensor(bytes.subarray(start, start + length), request.layout === 'conv' ? shape : request.shape, {
    dtype,
    device,
  })
  return cast(toMemoryLayout(inFile, request), { dtype: request.dtype })
}

/**
 * Makes something whose tensors are read from files, and waits for the reads; the files may be closed after it.
 * @param device where they are read to. Default cpu
 * @throws NativeError when something could not be read; what was made is disposed
 */
export async function finishReads<Made extends { dispose(): void }>(
  make: () => Made,
  modelsOf: (made: Made) => readonly Model[],
  device: DeviceName = 'cpu',
): Promise<Made> {
  const made = make()
  try {
    await settleAll(modelsOf(made).flatMap(tensorsOf), device)
    return made
  } catch (error) {
    made.dispose()
    throw error
  }
}

function tensorsOf({ registry }: Model): Tensor[] {
  return Array.from(registry.parameters.values(), ({ tensor }) => tensor).filter(({ disposed }) => !disposed)
}

function partsOf(models: StableDiffusion): readonly Model[] {
  return modelParts.map((part) => models[part])
}

export interface ReadModelOptions {
  /** What each part is stored and computed in. Default float32. */
  readonly dtypes?: Readonly<Partial<Record<ModelPart, FloatDType>>> | undefined
  /** Parts whose matrices are stored in 8 bits, for parts that are not trained. Default: none. */
  readonly eightBits?: readonly ModelPart[] | undefined
  /** Where the parameters are to be. Default cpu. */
  readonly device?: DeviceName | undefined
}

/** A whole model whose parts have been found. */
export async function readModel(
  config: StableDiffusionConfig,
  parts: Readonly<Record<ModelPart, PartPlan>>,
  options: ReadModelOptions = {},
): Promise<StableDiffusion> {
  const sources = await sourcesOf(parts, options)
  return finishReads(
    () => new StableDiffusion(config, (part) => sources[part], options.dtypes),
    partsOf,
    options.device,
  )
}

/**
 * The same, but for when parameters are read: when they are first used, or by {@link readRest}. The files stay open until then. Parts in
 * 8 bits are read now.
 * @param expectOpen throws once the files are closed, when their descriptors may be those of others
 */
export async function deferModel(
  config: StableDiffusionConfig,
  parts: Readonly<Record<ModelPart, PartPlan>>,
  options: ReadModelOptions,
  expectOpen: () => void,
): Promise<StableDiffusion> {
  const { dtypes, eightBits = [], device } = options
  const sources = await sourcesOf(parts, options)
  const sourceOf = (part: ModelPart): WeightSource => {
    const source = sources[part]
    if (eightBits.includes(part)) return source
    return (request) =>
      deferred({ shape: request.shape, dtype: request.dtype, device }, () => {
        expectOpen()
        return source(request)
      })
  }
  // Those of 8 bits alone are read already.
  const read = (models: StableDiffusion): readonly Model[] => eightBits.map((part) => models[part])
  return finishReads(() => new StableDiffusion(config, sourceOf, dtypes), read, device)
}

/**
 * Reads what nothing has used yet of the parameters of a model, and waits for it. Parameters that have been disposed are left out.
 * @throws NativeError when something could not be read
 */
export async function readRest(models: StableDiffusion, device: DeviceName = 'cpu'): Promise<void> {
  await settleAll(partsOf(models).flatMap(tensorsOf), device)
}

async function sourcesOf(
  parts: Readonly<Record<ModelPart, PartPlan>>,
  { eightBits = [], device }: ReadModelOptions,
): Promise<Readonly<Record<ModelPart, WeightSource>>> {
  const sourceOf = async (part: ModelPart): Promise<WeightSource> => {
    const source = await readPlan(parts[part], device)
    return eightBits.includes(part) ? eightBitMatrices(source) : source
  }
  return {
    unet: await sourceOf('unet'),
    textEncoder: await sourceOf('textEncoder'),
    vae: await sourceOf('vae'),
  }
}
