/** Watching which ops run: what a search for the first broken layer goes by. */
import type { Tensor } from '../tensor/tensor.ts'

/** Told of an op that has been enqueued; its tensors are alive until it returns. */
export type OpObserver = (op: string, inputs: readonly (Tensor | null)[], result: Tensor) => void

let current: OpObserver | null = null

/** Runs `body`, which must not be asynchronous, and tells `observer` of its ops in order, but for those that the observer calls. */
export function observeOps<T>(observer: OpObserver, body: () => T): T {
  const before = current
  current = observer
  try {
    return body()
  } finally {
    current = before
  }
}

/** The same, for a part of what others may be observing: they are told too. */
export function alsoObserveOps<T>(observer: OpObserver, body: () => T): T {
  const outer = current
  if (outer === null) return observeOps(observer, body)
  const both: OpObserver = (op, inputs, result) => {
    observer(op, inputs, result)
    outer(op, inputs, result)
  }
  return observeOps(both, body)
}

/** For `defineOp`: an op was enqueued. */
export function tellObserver(op: string, inputs: readonly (Tensor | null)[], result: Tensor): void {
  if (current === null) return
  const observer = current
  current = null
  try {
    observer(op, inputs, result)
  } finally {
    current = observer
  }
}
