/** Between the layouts of files and those of memory. */
import type { SafetensorsTensor } from '../io/safetensors.ts'
import { bytesOf } from '../io/tensorBytes.ts'
import type { TensorFile, TensorInfo } from '../io/tensorFile.ts'
import { addon } from '../native/load.ts'
import { fileShape, type ParameterRecord, type ParameterRequest, type WeightSource } from '../nn/weights.ts'
import { cast } from '../ops/cast.ts'
import { contiguous } from '../ops/contiguous.ts'
import { loadableTypes, loadParameter } from '../ops/loadParameter.ts'
import { permute } from '../ops/permute.ts'
import { reshape } from '../ops/reshape.ts'
import { storeParameter } from '../ops/storeParameter.ts'
import { markCall } from '../tensor/callSite.ts'
import { tensor } from '../tensor/create.ts'
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

/** Tensors that the device cannot read from the file itself, as float32, by name. */
export type ReadAhead = ReadonlyMap<string, Float32Array>

/**
 * Reads what the device cannot: float64, and tensors that are not one run of bytes in the file (views in PyTorch files).
 * @param names of the tensors that will be wanted
 */
export async function readAhead(file: TensorFile, names: Iterable<string> = file.names): Promise<ReadAhead> {
  const values = new Map<string, Float32Array>()
  for (const name of names) {
    const { dtype, place } = file.info(name)
    if (dtype === 'F64' || place === undefined) values.set(name, await file.readFloat32(name))
  }
  return values
}

/** A tensor of a file, in the file's shape and type. The bytes are read when the device gets to it. */
export function fileTensor(file: TensorFile, name: string, ahead: ReadAhead = new Map()): Tensor {
  const info = file.info(name)
  const values = ahead.get(name)
  if (values !== undefined) return tensor(values, info.shape)
  const dtype = dtypeOf[info.dtype]
  if (dtype === undefined || info.place === undefined)
    throw new CheckpointError(
      file.path,
      `tensor "${name}" has type ${info.dtype}; expected one of ${Object.keys(dtypeOf).join(', ')}, F64`,
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

/**
 * Parameters from a file, read when they are asked for.
 * @param aliases other names a parameter may have in the file
 * @param ahead from {@link readAhead}
 * @throws CheckpointError for a missing tensor or one of another shape
 */
export function weightsFromFile(
  file: TensorFile,
  aliases: (name: string) => readonly string[] = () => [],
  ahead: ReadAhead = new Map(),
): WeightSource {
  return (request) =>
    scope(() => {
      const name = [request.name, ...aliases(request.name)].find((candidate) => file.has(candidate)) ?? request.name
      const expected = fileShape(request.shape, request.layout)
      const info = file.info(name)
      if (!fits(info.shape, expected))
        throw new CheckpointError(
          file.path,
          `tensor "${name}" has shape ${formatShape(info.shape)}; expected ${formatShape(expected)}`,
        )
      const loaded = ahead.has(name) ? null : loadOnePass(info, request)
      return loaded ?? cast(toMemoryLayout(fileTensor(file, name, ahead), request), { dtype: request.dtype })
    })
}

const storedAs = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const

/** Types that parameters are written in. */
export type ParameterFileDType = keyof typeof storedAs

/**
 * A parameter as the writers of files take it: in the file's layout, read when its turn comes.
 * @param dtype type in the file, rounded to nearest. Default float32
 */
export function fileEntry(record: ParameterRecord, dtype: ParameterFileDType = 'F32'): SafetensorsTensor {
  return {
    name: record.name,
    dtype,
    shape: fileShape(record.shape, record.layout),
    data: async () => {
      const layout = record.layout === 'conv' ? 'conv' : 'same'
      const packed = scope(() => {
        const { tensor } = record
        const computed = tensor.dtype === 'float16' ? cast(tensor, { dtype: 'float32' }) : tensor
        return storeParameter(computed, { layout, dtype: storedAs[dtype] })
      })
      try {
        return bytesOf(await packed.read())
      } finally {
        packed.dispose()
      }
    },
  }
}
