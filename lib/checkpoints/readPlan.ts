/** From what a plan found in a file to tensors on the device, one by one as a network asks for them. */
import { bytesOf } from '../io/tensorBytes.ts'
import type { StableDiffusionConfig } from '../models/stableDiffusion/config.ts'
import { type ModelPart, StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import { eightBitMatrices } from '../nn/eightBits.ts'
import type { ParameterRequest, WeightSource } from '../nn/weights.ts'
import { cast } from '../ops/cast.ts'
import { type LoadableType, loadParameter } from '../ops/loadParameter.ts'
import { tensor } from '../tensor/create.ts'
import { openDevice } from '../tensor/device.ts'
import type { DType, FloatDType } from '../tensor/dtype.ts'
import { scope } from '../tensor/scope.ts'
import type { DeviceName, Tensor } from '../tensor/tensor.ts'
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
 * Makes something whose tensors are read from files, and waits for the reads: failures of the device show at the next wait, and
 * the files may be closed after it.
 * @param device where they are read to. Default cpu
 * @throws what the reads threw; what was made is disposed
 */
export async function finishReads<Made extends { dispose(): void }>(
  make: () => Made,
  device: DeviceName = 'cpu',
): Promise<Made> {
  const made = make()
  const fence = tensor([0], [1], { device })
  try {
    await fence.read()
    return made
  } catch (error) {
    made.dispose()
    throw error
  } finally {
    fence.dispose()
  }
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
  { dtypes, eightBits = [], device }: ReadModelOptions = {},
): Promise<StableDiffusion> {
  const sources: Readonly<Record<ModelPart, WeightSource>> = {
    unet: await readPlan(parts.unet, device),
    textEncoder: await readPlan(parts.textEncoder, device),
    vae: await readPlan(parts.vae, device),
  }
  const sourceOf = (part: ModelPart): WeightSource =>
    eightBits.includes(part) ? eightBitMatrices(sources[part]) : sources[part]
  return finishReads(() => new StableDiffusion(config, sourceOf, dtypes), device)
}
