import type { Handle } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { ArgumentError, DisposedError } from '../util/errors.ts'
import { nativeFailure } from './callSite.ts'
import { type DType, isFloat, type TypedArray, typedArray } from './dtype.ts'
import { currentScope, type Disposable } from './scope.ts'
import { elementCount, formatShape, type Shape } from './shape.ts'

export type DeviceName = 'cpu' | 'cuda'

/** Where a tensor's gradient goes: the tape node that made it, or nothing for a leaf. Owned by lib/autograd. */
export interface Origin {
  readonly node: object
  readonly output: number
}

/**
 * An n-dimensional array on a device. It is made by ops, which enqueue work and return at once; only reading waits.
 * Tensors have no arithmetic methods: ops are functions.
 */
export class Tensor implements Disposable {
  #handle: Handle | null
  readonly shape: Shape
  readonly dtype: DType
  /** Marks a leaf (a parameter) whose gradient `backward` adds to `grad`. */
  requiresGrad = false
  /** The gradient of a leaf: float32, the tensor's shape. */
  grad: Tensor | null = null
  /** @internal */
  origin: Origin | null = null

  /** @internal Tensors are made by ops and by the functions of create.ts. */
  constructor(handle: Handle, scoped = true) {
    this.#handle = handle
    this.shape = handle.shape
    this.dtype = handle.dtype
    if (scoped) currentScope()?.adopt(this)
  }

  /** @internal */
  get handle(): Handle {
    if (this.#handle === null)
      throw new DisposedError(
        `a tensor of shape ${formatShape(this.shape)} was used after it had been disposed; ` +
          'return it from its scope or keep() it if it must live longer',
      )
    return this.#handle
  }

  get disposed(): boolean {
    return this.#handle === null
  }

  get rank(): number {
    return this.shape.length
  }

  /** Number of elements. */
  get size(): number {
    return elementCount(this.shape)
  }

  get device(): DeviceName {
    return this.handle.device ?? 'cpu'
  }

  /** In elements. */
  get strides(): readonly number[] {
    return addon.layout(this.handle).slice(0, -1)
  }

  get contiguous(): boolean {
    return this.handle.strided !== true
  }

  /** Size of an axis; negative axes count from the end. */
  dim(axis: number): number {
    const size = this.shape[axis < 0 ? this.shape.length + axis : axis]
    if (size === undefined)
      throw new ArgumentError('dim', 'axis', `an axis of ${formatShape(this.shape)}`, String(axis))
    return size
  }

  /** Whether ops on this tensor are recorded for `backward`. */
  get tracked(): boolean {
    return (this.requiresGrad || this.origin !== null) && isFloat(this.dtype)
  }

  /**
   * The elements, packed, once everything enqueued before has run. 16-bit floats come as their bits; see `readFloat32`.
   * @throws ArgumentError for a strided view; NativeError when an op this tensor depends on has failed
   */
  async read(): Promise<TypedArray> {
    if (!this.contiguous)
      throw new ArgumentError(
        'read',
        'tensor',
        'contiguous (call contiguous(x))',
        `strides ${formatShape(this.strides)}`,
      )
    try {
      return typedArray(this.dtype, await addon.read(this.handle))
    } catch (error) {
      throw nativeFailure(error)
    }
  }

  /** Frees the memory as soon as the ops that use it have run. A second call does nothing. */
  dispose(): void {
    if (this.#handle === null) return
    addon.dispose(this.#handle)
    this.#handle = null
    this.origin = null
    this.grad?.dispose()
    this.grad = null
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  toString(): string {
    return `Tensor(${formatShape(this.shape)}, ${this.dtype}${this.disposed ? ', disposed' : ''})`
  }
}

/** @internal A tensor for a handle that native code has just made. */
export function wrap(handle: Handle): Tensor {
  return new Tensor(handle)
}

/** @internal Another reference to the same memory, outside every scope, without history. */
export function retain(tensor: Tensor): Tensor {
  return new Tensor(addon.retain(tensor.handle), false)
}
