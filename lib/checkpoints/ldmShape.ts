import { fileShape, type ParameterRequest } from '../nn/weights.ts'
import type { Shape } from '../tensor/shape.ts'
import type { LdmSlot } from './keys/ldmKeys.ts'
import { isVaeAttentionWeight } from './keys/vae.ts'

/** Shape of the tensor in a single-file checkpoint that holds a parameter, alone or with the two beside it. */
export function ldmShape({ shape, layout }: Pick<ParameterRequest, 'shape' | 'layout'>, slot: LdmSlot): Shape {
  const inFile = fileShape(shape, layout)
  if (slot.third !== null) return [3 * inFile[0]!, ...inFile.slice(1)]
  return isVaeAttentionWeight(slot.key) ? [...inFile, 1, 1] : inFile
}
