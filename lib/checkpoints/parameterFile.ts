/** Between the layouts of files and those of memory. */
import type { SafetensorsTensor } from '../io/safetensors.ts'
import { bytesOf } from '../io/tensorBytes.ts'
import type { ModelPart, StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import type { SavePrecision } from '../networks/kohyaLora.ts'
import { fileShape, type ParameterRecord, type ParameterRequest } from '../nn/weights.ts'
import { contiguous } from '../ops/contiguous.ts'
import { permute } from '../ops/permute.ts'
import { reshape } from '../ops/reshape.ts'
import { storeParameter } from '../ops/storeParameter.ts'
import type { FloatDType } from '../tensor/dtype.ts'
import { sameShape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type ModelEntries, type ParameterFileDType, precisionTypes } from './modelEntries.ts'

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

const storedAs = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const
const memoryTypes = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' } as const satisfies Record<
  FloatDType,
  ParameterFileDType
>

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
      const packed = storeParameter(record.tensor, { layout, dtype: storedAs[dtype] })
      try {
        return bytesOf(await packed.read())
      } finally {
        packed.dispose()
      }
    },
  }
}

/**
 * The parameters of a model in memory.
 * @param precision type of all of them. Default: each part in the type it has in memory
 */
export function entriesOfModels(models: StableDiffusion, precision?: SavePrecision): ModelEntries {
  const entries = (part: ModelPart): SafetensorsTensor[] => {
    const { dtype, parameters } = models[part].registry
    const type = precision === undefined ? memoryTypes[dtype] : precisionTypes[precision]
    return [...parameters.values()].map((record) => fileEntry(record, type))
  }
  return {
    config: models.config,
    parts: { unet: entries('unet'), textEncoder: entries('textEncoder'), vae: entries('vae') },
  }
}
