import type { Handle } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { ArgumentError, DisposedError } from '../util/errors.ts'
import { nativeFailure } from './callSite.ts'
import { type DType, isFloat, type TypedArray, typedArray } from './dtype.ts'
import { currentScope, type Disposable } from './scope.ts'
import { elementCount, formatShape, type Shape } from './shape.ts'

/** `cuda` is the first GPU, `cuda:1` and so on are the others; `cuda:0` is `cuda`, and a tensor's `device` says `cuda`. */
export type DeviceName = 'cpu' | 'cuda' | `cuda:${number}`

/** Where a tensor's gradient goes: the tape node that made it, or nothing for a leaf. Owned by lib/autograd. */
export interface Origin {
  readonly node: object
  readonly output: number
}

/** @internal A native handle and how many live tensors own it; the last one to be disposed disposes it. */
export interface SharedHandle {
  readonly handle: Handle
  /** What the handle will be, while nothing has asked for it: see deferred.ts. Afterwards, and for all other tensors, undefined. */
  readonly promised?: TensorFacts | undefined
  references: number
}

/** @internal What is known of a tensor without its memory. */
export interface TensorFacts {
  readonly shape: Shape
  readonly dtype: DType
  /** Default cpu. */
  readonly device?: DeviceName | undefined
}

/**
 * An n-dimensional array on a device. It is made by ops, which enqueue work and return at once; only reading waits.
 * Tensors have no arithmetic methods: ops are functions.
 */
export class Tensor implements Disposable {
  #shared: SharedHandle | null
  readonly shape: Shape
  readonly dtype: DType
  /** Marks a leaf (a parameter) whose gradient `backward` adds to `grad`. */
  requiresGrad = false
  /** The gradient of a leaf: float32, the tensor's shape. */
  grad: Tensor | null = null
  /** @internal */
  origin: Origin | null = null

  /** @internal Tensors are made by ops and by the functions of create.ts. */
  constructor(shared: SharedHandle, scoped = true) {
    const { shape, dtype } = shared.promised ?? shared.handle
    this.#shared = shared
    this.shape = shape
    this.dtype = dtype
    if (scoped) currentScope()?.adopt(this)
  }

  /** @internal */
  get handle(): Handle {
    return this.shared.handle
  }

  /** @internal */
  get shared(): SharedHandle {
    if (this.#shared === null)
      throw new DisposedError(
        `a tensor of shape ${formatShape(this.shape)} was used after it had been disposed; ` +
          'return it from its scope or keep() it if it must live longer',
      )
    return this.#shared
  }

  get disposed(): boolean {
    return this.#shared === null
  }

  get rank(): number {
    return this.shape.length
  }

  /** Number of elements. */
  get size(): number {
    return elementCount(this.shape)
  }

  get device(): DeviceName {
    return (this.shared.promised ?? this.shared.handle).device ?? 'cpu'
  }

  /** In elements. */
  get strides(): readonly number[] {
    return addon.layout(this.handle).slice(0, -1)
  }

  get contiguous(): boolean {
    return this.shared.promised !== undefined || this.shared.handle.strided !== true
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
    if (this.#shared === null) return
    if (--this.#shared.references === 0 && this.#shared.promised === undefined) addon.dispose(this.#shared.handle)
    this.#shared = null
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
  return new Tensor({ handle, references: 1 })
}

/** @internal Another reference to the same memory, outside every scope, without history. */
export function retain(tensor: Tensor): Tensor {
  tensor.shared.references++
  return new Tensor(tensor.shared, false)
}

/** @internal The same memory as another tensor of the current scope, without history. */
export function share(tensor: Tensor): Tensor {
  tensor.shared.references++
  return new Tensor(tensor.shared)
}
