import { Scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { addGradients, type Contribution, collectGradients } from './backward.ts'
import {
  backwardFromInputs,
  endHistory,
  Recorder,
  type RecorderOptions,
  type RecorderReport,
  type StepBody,
  type StepInputs,
} from './recorder.ts'

/** A function of tensors that repeats itself without its JavaScript; see {@link repeatable}. */
export interface Repeatable<Results extends readonly Tensor[]> {
  /**
   * @param inputs tensors or nulls, contiguous, on one device
   * @param key whatever else decides what the function enqueues, such as a number that it uses. Default: nothing does
   */
  (inputs: readonly (Tensor | null)[], key?: string): Results
  report(): RecorderReport
  /** Frees what is kept. A later call starts anew. */
  dispose(): void
}

/**
 * Makes a step, such as forward pass, loss and backward pass, that is called again and again with inputs of the same shapes cost next to
 * nothing to enqueue: the first call with inputs of some shapes runs `body`, the second one runs and records it, and later ones run
 * what was recorded without calling `body`, on a GPU as a CUDA graph. Results and gradients are the same bits as if `body` ran each time.
 *
 * ```ts
 * const step = repeatable((x, target) => {
 *   const loss = mseLoss(linear.forward(x!), target!)
 *   backward(loss)
 *   return [loss]
 * })
 * for (const { x, target } of batches) {
 *   const [loss] = step([x, target])
 *   optimizer.step()
 *   optimizer.zeroGrad()
 * }
 * ```
 *
 * After `body`, gradients are added to the `grad` of leaves, and flow on into what inputs were made by, in every call. What else `body` does in
 * JavaScript is not repeated, and numbers that it hands to ops are repeated as they were: they belong into the key. A body with an op
 * that depends on the call (random numbers, `tensor(...)`, reads, optimizer steps) is refused, `onRefused` is told why, and `body`
 * runs each time; so is one that keeps a tensor which it does not return. A parameter that was disposed, or began or ceased to learn, since
 * is noticed, and the step recorded anew. Parameters that the step found live until it is dropped or `dispose` is called.
 *
 * @throws ArgumentError, when called, for inputs that do not fit and results that could still be differentiated
 */
export function repeatable<Results extends readonly Tensor[]>(
  body: StepBody<Results>,
  options: RecorderOptions = {},
): Repeatable<Results> {
  const recorder = new Recorder(options)
  const call = (inputs: readonly (Tensor | null)[], key = ''): Results => {
    const run = recorder.run(inputs, key, body)
    if (run === null) return runPlainly(inputs, body)
    backwardFromInputs(inputs, run.gradients)
    return run.results
  }
  return Object.assign(call, { report: () => recorder.report(), dispose: () => recorder.dispose() })
}

/** Gradients reach their leaves behind the body, as those of a recorded one do: it must not find them there. */
function runPlainly<Results extends readonly Tensor[]>(inputs: StepInputs, body: StepBody<Results>): Results {
  const contributions: Contribution[] = []
  const opened = new Scope()
  try {
    const results = collectGradients(contributions, () => body(...inputs))
    endHistory(results)
    opened.closeHistory(results)
    addGradients(contributions)
    return results
  } catch (error) {
    opened.closeHistory()
    for (const { gradient } of contributions) gradient.dispose()
    throw error
  }
}
