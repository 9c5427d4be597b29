/** Where each parameter of one network lies in a file: found and checked in its index, before the first byte is read. */
import type { SafetensorsTensor } from '../io/safetensors.ts'
import type { FileDType } from '../io/tensorBytes.ts'
import type { TensorInfo } from '../io/tensorFile.ts'
import type { ParameterShape } from '../models/stableDiffusion/parameterShapes.ts'
import { fileShape } from '../nn/weights.ts'
import { formatShape, type Shape, sameShape } from '../tensor/shape.ts'
import { CheckpointError } from '../util/errors.ts'
import { nearest } from '../util/nearest.ts'
import type { KeyedFile } from './keyedFile.ts'
import type { LdmSlot } from './keys/ldmKeys.ts'
import { ldmShape } from './ldmShape.ts'

/** Types that parameters may have in files. */
const floatTypes: readonly FileDType[] = ['F32', 'F16', 'BF16', 'F64', 'F8_E4M3']

/** A parameter, and the tensor that holds it. */
export interface Place extends LdmSlot {
  readonly parameter: ParameterShape
  readonly info: TensorInfo
}

/** Where each parameter of one network lies in a file. */
export class PartPlan {
  readonly file: KeyedFile
  /** By the parameter's name, in the order of the network. */
  readonly places: ReadonlyMap<string, Place>

  /**
   * Finds and checks every parameter.
   *
   * @param slots the key of a parameter, or several of which the file has one
   * @param problems receives a text for every parameter that is missing or has another shape or type
   */
  constructor(
    file: KeyedFile,
    parameters: readonly ParameterShape[],
    slots: (name: string) => readonly LdmSlot[],
    problems: string[],
  ) {
    this.file = file
    const places = new Map<string, Place>()
    this.places = places
    for (const parameter of parameters) {
      const candidates = slots(parameter.name)
      const slot = candidates.find(({ key }) => file.has(key)) ?? candidates[0]!
      if (!file.has(slot.key)) {
        const near = nearest(slot.key, file.names)
        const text = `"${slot.key}" is missing${near === undefined ? '' : ` (the nearest there is "${near}")`}`
        if (!problems.includes(text)) problems.push(text)
        continue
      }
      const info = file.info(slot.key)
      const expected = ldmShape(parameter, slot)
      if (!sameMatrix(info.shape, expected))
        problems.push(`"${slot.key}" has shape ${formatShape(info.shape)}, expected ${formatShape(expected)}`)
      else if (!floatTypes.includes(info.dtype))
        problems.push(`"${slot.key}" has type ${info.dtype}, expected F32, F16, BF16, F64 or F8_E4M3`)
      else if (info.dtype === 'F8_E4M3' && file.has(`${slot.key.replace(/weight$/, '')}scale_weight`))
        problems.push(`"${slot.key}" has a scale of its own, which is not supported`)
      else places.set(parameter.name, { ...slot, parameter, info })
    }
  }

  /** Keys that hold parameters. */
  get used(): ReadonlySet<string> {
    return new Set([...this.places.values()].map(({ key }) => key))
  }

  /** Where a parameter lies. */
  place(name: string): Place {
    const place = this.places.get(name)
    if (place === undefined)
      throw new CheckpointError(this.file.path, `no tensor was found for the parameter "${name}"`)
    return place
  }

  /**
   * The parameters as the writers of files take them: in the names and shapes of diffusers and the type of the file, their bytes
   * read when their turn comes.
   */
  entries(): SafetensorsTensor[] {
    return [...this.places.values()].map(({ parameter, key, third, info }) => ({
      name: parameter.name,
      dtype: info.dtype,
      shape: fileShape(parameter.shape, parameter.layout),
      data: async () => {
        const bytes = await this.file.file.read(this.file.nameInFile(key))
        if (third === null) return bytes
        const length = bytes.byteLength / 3
        return bytes.subarray(third * length, (third + 1) * length)
      },
    }))
  }
}

/** Whether two shapes mean the same matrix: projections are stored as [o, i] or as [o, i, 1, 1], by version and library. */
export function sameMatrix(a: Shape, b: Shape): boolean {
  const trim = (shape: Shape): Shape =>
    shape.length === 4 && shape[2] === 1 && shape[3] === 1 ? shape.slice(0, 2) : shape
  return sameShape(trim(a), trim(b))
}

/** One error for everything wrong, up to ten tensors by name. */
export function refuseProblems(path: string, what: string, problems: readonly string[]): CheckpointError {
  const listed = problems.slice(0, 10).join('; ')
  const more = problems.length > 10 ? `; and ${problems.length - 10} more` : ''
  const count = problems.length === 1 ? 'a tensor is' : `${problems.length} tensors are`
  return new CheckpointError(path, `${count} not as ${what} has them: ${listed}${more}`)
}
