/** Between the layouts of files and those of memory. */
import type { SafetensorsFile, SafetensorsTensor } from '../io/safetensors.ts'
import { float32ToBytes } from '../io/tensorBytes.ts'
import type { TensorInfo } from '../io/tensorFile.ts'
import { addon } from '../native/load.ts'
import { fileShape, type ParameterRecord, type ParameterRequest, type WeightSource } from '../nn/weights.ts'
import { cast } from '../ops/cast.ts'
import { contiguous } from '../ops/contiguous.ts'
import { loadableTypes, loadParameter } from '../ops/loadParameter.ts'
import { permute } from '../ops/permute.ts'
import { reshape } from '../ops/reshape.ts'
import { storeParameter } from '../ops/storeParameter.ts'
import { markCall } from '../tensor/callSite.ts'
import type { DType } from '../tensor/dtype.ts'
import { scope } from '../tensor/scope.ts'
import { formatShape, type Shape, sameShape } from '../tensor/shape.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { CheckpointError } from '../util/errors.ts'

const dtypeOf: Readonly<Record<string, DType>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  I64: 'int64',
  I32: 'int32',
  I8: 'int8',
  U8: 'uint8',
  BOOL: 'bool',
}

/** A tensor of a file, in the file's shape and type. The bytes are read when the device gets to it. */
export function fileTensor(file: SafetensorsFile, name: string): Tensor {
  const info = file.info(name)
  const dtype = dtypeOf[info.dtype]
  if (dtype === undefined || info.place === undefined)
    throw new CheckpointError(
      file.path,
      `tensor "${name}" has type ${info.dtype}; expected one of ${Object.keys(dtypeOf).join(', ')}`,
    )
  markCall()
  return wrap(addon.fileTensor(info.place.descriptor, info.place.byteOffset, info.shape, dtype))
}

/** From the file's axes to memory's. */
export function toMemoryLayout(tensor: Tensor, { shape, layout }: ParameterRequest): Tensor {
  if (layout === 'conv') return contiguous(permute(tensor, { axes: [0, 2, 3, 1] }))
  return sameShape(tensor.shape, shape) ? tensor : reshape(tensor, { shape })
}

/** From memory's axes to the file's. */
export function toFileLayout(tensor: Tensor, { shape, layout }: ParameterRequest): Tensor {
  if (layout === 'conv') return contiguous(permute(tensor, { axes: [0, 3, 1, 2] }))
  return layout === 'same' ? tensor : reshape(tensor, { shape: fileShape(shape, layout) })
}

/** Shapes that mean the same matrix: projections are stored as [o, i] or as [o, i, 1, 1], by version and library. */
function fits(found: Shape, expected: Shape): boolean {
  const trim = (shape: Shape): Shape =>
    shape.length === 4 && shape[2] === 1 && shape[3] === 1 ? shape.slice(0, 2) : shape
  return sameShape(trim(found), trim(expected))
}

/** The usual case, where the bytes lie on the disk in a float type: read, converted and laid out at once. */
function loadOnePass({ dtype: fileDType, place }: TensorInfo, request: ParameterRequest): Tensor | null {
  const { shape, layout, dtype } = request
  const known = loadableTypes.find((type) => type === fileDType)
  if (known === undefined || place === undefined || dtype === 'float16') return null
  return loadParameter(place, { fileDType: known, shape, layout: layout === 'conv' ? 'conv' : 'same', dtype })
}

function composed(file: SafetensorsFile, name: string, request: ParameterRequest): Tensor {
  return cast(toMemoryLayout(fileTensor(file, name), request), { dtype: request.dtype })
}

/**
 * Parameters from a safetensors file, read when they are asked for.
 * @param aliases other names a parameter may have in the file
 * @throws CheckpointError for a missing tensor or one of another shape
 */
export function weightsFromFile(
  file: SafetensorsFile,
  aliases: (name: string) => readonly string[] = () => [],
): WeightSource {
  return (request) =>
    scope(() => {
      const name = [request.name, ...aliases(request.name)].find((candidate) => file.has(candidate)) ?? request.name
      const expected = fileShape(request.shape, request.layout)
      const found = file.info(name).shape
      if (!fits(found, expected))
        throw new CheckpointError(
          file.path,
          `tensor "${name}" has shape ${formatShape(found)}; expected ${formatShape(expected)}`,
        )
      return loadOnePass(file.info(name), request) ?? composed(file, name, request)
    })
}

/** A parameter as the safetensors writer takes it: float32 in the file's layout, read when its turn comes. */
export function fileEntry(record: ParameterRecord): SafetensorsTensor {
  return {
    name: record.name,
    dtype: 'F32',
    shape: fileShape(record.shape, record.layout),
    data: async () => {
      const layout = record.layout === 'conv' ? 'conv' : 'same'
      const packed = scope(() => {
        const { tensor } = record
        const computed = tensor.dtype === 'float16' ? cast(tensor, { dtype: 'float32' }) : tensor
        return storeParameter(computed, { layout, dtype: 'float32' })
      })
      try {
        return float32ToBytes((await packed.read()) as Float32Array, 'F32')
      } finally {
        packed.dispose()
      }
    },
  }
}
