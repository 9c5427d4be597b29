/** Tensors that are made when they are first used, such as the parameters of a model that is not needed yet. */
import type { Handle } from '../native/addon.ts'
import { keep } from './scope.ts'
import { type SharedHandle, Tensor, type TensorFacts } from './tensor.ts'

class DeferredHandle implements SharedHandle {
  references = 1
  #promised: TensorFacts | undefined
  #make: (() => Tensor) | null
  #handle: Handle | null = null

  constructor(facts: TensorFacts, make: () => Tensor) {
    this.#promised = facts
    this.#make = make
  }

  get promised(): TensorFacts | undefined {
    return this.#promised
  }

  /** Made by the first who asks; the tensor that it came in goes on in this one. When that fails, the next who asks tries again. */
  get handle(): Handle {
    if (this.#handle !== null) return this.#handle
    // Whichever scope is open: the tensor belongs to whoever has the deferred one.
    this.#handle = keep(this.#make!()).handle
    this.#promised = undefined
    this.#make = null
    return this.#handle
  }
}

/**
 * A tensor that takes no memory until an op or a read uses it; shape, type and device are known before. Disposed unused, it is never made.
 *
 * @param facts of what `make` will return
 * @param make makes it, contiguous and without a history, and owned by nobody else
 */
export function deferred({ shape, dtype, device }: TensorFacts, make: () => Tensor): Tensor {
  const facts = { shape, dtype, device: device === 'cuda:0' ? 'cuda' : device } as const
  return new Tensor(new DeferredHandle(facts, make))
}
