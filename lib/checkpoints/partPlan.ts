/**
 * Loading one network from a file, in two steps: every parameter is found and checked in the index, before the first byte is read;
 * then the tensors are read one by one as the network asks for them.
 */
import { bytesOf } from '../io/tensorBytes.ts'
import type { TensorInfo } from '../io/tensorFile.ts'
import { addon } from '../native/load.ts'
import type { ParameterRequest, WeightSource } from '../nn/weights.ts'
import { cast } from '../ops/cast.ts'
import { markCall } from '../tensor/callSite.ts'
import { tensor } from '../tensor/create.ts'
import type { DType } from '../tensor/dtype.ts'
import { scope } from '../tensor/scope.ts'
import { formatShape, type Shape, sameShape } from '../tensor/shape.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { CheckpointError } from '../util/errors.ts'
import { nearest } from '../util/nearest.ts'
import type { KeyedFile } from './keyedFile.ts'
import type { LdmSlot } from './keys/ldmKeys.ts'
import { ldmShape } from './ldmShape.ts'
import { toMemoryLayout } from './parameterFile.ts'

/** Types that the device reads from the file itself. float64 is converted on the way. */
const deviceTypes: Readonly<Record<string, DType>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }

interface Place extends LdmSlot {
  readonly info: TensorInfo
}

/** Where each parameter of one network lies in a file. */
export class PartPlan {
  readonly file: KeyedFile
  readonly #places = new Map<string, Place>()
  /** What had to be read ahead, by key; a tensor leaves when its last parameter has it. */
  readonly #readAhead = new Map<string, { readonly bytes: Uint8Array; readonly dtype: DType; left: number }>()

  /**
   * Finds and checks every parameter.
   *
   * @param slots the key of a parameter, or several of which the file has one
   * @param problems receives a text for every parameter that is missing or has another shape or type
   */
  constructor(
    file: KeyedFile,
    requests: readonly ParameterRequest[],
    slots: (name: string) => readonly LdmSlot[],
    problems: string[],
  ) {
    this.file = file
    for (const request of requests) {
      const candidates = slots(request.name)
      const slot = candidates.find(({ key }) => file.has(key)) ?? candidates[0]!
      if (!file.has(slot.key)) {
        const near = nearest(slot.key, file.names)
        const text = `"${slot.key}" is missing${near === undefined ? '' : ` (the nearest there is "${near}")`}`
        if (!problems.includes(text)) problems.push(text)
        continue
      }
      const info = file.info(slot.key)
      const expected = ldmShape(request, slot)
      if (!sameMatrix(info.shape, expected))
        problems.push(`"${slot.key}" has shape ${formatShape(info.shape)}, expected ${formatShape(expected)}`)
      else if (deviceTypes[info.dtype] === undefined && info.dtype !== 'F64')
        problems.push(`"${slot.key}" has type ${info.dtype}, expected F32, F16, BF16 or F64`)
      else this.#places.set(request.name, { ...slot, info })
    }
  }

  /** Keys that hold parameters. */
  get used(): ReadonlySet<string> {
    return new Set([...this.#places.values()].map(({ key }) => key))
  }

  /** Reads what the device cannot read itself: tensors that are not one run of bytes in the file, and float64. */
  async readAhead(): Promise<void> {
    const { file } = this.file
    for (const { key, info } of this.#places.values()) {
      const dtype = deviceTypes[info.dtype]
      if (dtype !== undefined && info.place !== undefined) continue
      const known = this.#readAhead.get(key)
      if (known !== undefined) {
        known.left++
        continue
      }
      const name = this.file.nameInFile(key)
      const bytes = dtype === undefined ? bytesOf(await file.readFloat32(name)) : await file.read(name)
      this.#readAhead.set(key, { bytes, dtype: dtype ?? 'float32', left: 1 })
    }
  }

  /** Gives the parameters, each read when it is asked for. Call {@link readAhead} first. */
  readonly source: WeightSource = (request) =>
    scope(() => {
      const place = this.#places.get(request.name)
      if (place === undefined)
        throw new CheckpointError(this.file.path, `no tensor was found for the parameter "${request.name}"`)
      const stored = toMemoryLayout(this.#tensor(place, request), request)
      return cast(stored, { dtype: request.dtype })
    })

  /** The parameter in the axes of files, without the unit axes that matrices may have there. */
  #tensor({ key, third, info }: Place, request: ParameterRequest): Tensor {
    const shape = third === null ? info.shape : [info.shape[0]! / 3, ...info.shape.slice(1)]
    const inFile = request.layout === 'conv' ? shape : request.shape
    const ahead = this.#readAhead.get(key)
    if (ahead !== undefined) {
      const { bytes, dtype } = ahead
      if (--ahead.left === 0) this.#readAhead.delete(key)
      const length = third === null ? bytes.length : bytes.length / 3
      const start = (third ?? 0) * length
      return tensor(bytes.subarray(start, start + length), inFile, { dtype })
    }
    const { descriptor, byteOffset } = info.place!
    const offset = byteOffset + (third ?? 0) * (info.byteLength / 3)
    markCall()
    return wrap(addon.fileTensor(descriptor, offset, inFile, deviceTypes[info.dtype]!))
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
