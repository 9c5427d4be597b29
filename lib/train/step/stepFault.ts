/** Why a step's loss or gradient is not finite: which pictures, and the first layer on the way forward. */
import { observeOps } from '../../autograd/observeOps.ts'
import { noGrad } from '../../autograd/tape.ts'
import { isFiniteTensor } from '../../optim/nonFinite.ts'
import type { OptimizerParameter } from '../../optim/optimizer.ts'
import { isFloat } from '../../tensor/dtype.ts'
import { scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'

/** The place of a value that was not finite before anything was computed with it. */
export const latentsPlace = 'the latents'
/** That of one that came up on the way back. */
export const backwardPlace = 'the backward pass'

/** A step that changed nothing, or, taken within the backward pass, nothing of some parameters. */
export interface StepFault {
  /** Mean over the step's micro-batches. */
  readonly loss: number
  /** Parameters whose gradient was not finite. */
  readonly parameters: readonly string[]
  /** Paths of the pictures whose loss was not finite; of the whole step's where every loss was. */
  readonly pictures: readonly string[]
  /** Where a value was first not finite: `unet.conv_in`, `the latents`, ... */
  readonly place: string
  /** Whether the other parameters were stepped. Default false. */
  readonly othersStepped?: boolean
}

/** A stage of the forward pass. */
export interface Stage {
  /** What it makes: `the hidden states of the captions`. */
  readonly result: string
  /** Computes it from the results of the stages before; other tensors made here are freed. */
  run(...before: readonly Tensor[]): Tensor
}

/**
 * Runs the stages once more, looking at what every op gives, and names the first layer whose result is not finite.
 *
 * @param names of parameters; a layer is named after its first
 * @returns the layer; or a parameter that it is broken by; or the stage, where no layer of it has a name; null: everything is finite
 */
export async function firstBrokenPlace(
  stages: readonly Stage[],
  names: ReadonlyMap<Tensor, string>,
): Promise<string | null> {
  const checks: { readonly place: string; readonly finite: Promise<boolean> }[] = []
  const look = (place: string, tensor: Tensor): void => {
    if (isFloat(tensor.dtype) && tensor.contiguous) checks.push({ place, finite: isFiniteTensor(tensor) })
  }
  const seen = new Set<Tensor>()
  noGrad(() =>
    scope(() => {
      const results: Tensor[] = []
      for (const { result, run } of stages) {
        let last: string | null = null
        const made = observeOps(
          (op, inputs, output) => {
            const parameters = inputs.filter((input): input is Tensor => input !== null && names.has(input))
            for (const parameter of parameters) {
              if (!seen.has(parameter)) look(`the parameter ${names.get(parameter)}`, parameter)
              seen.add(parameter)
            }
            const [first] = parameters
            if (first !== undefined) last = layerOf(names.get(first)!)
            look(first !== undefined ? last! : last === null ? result : `the result of ${op} after ${last}`, output)
          },
          () => run(...results),
        )
        look(result, made)
        results.push(made)
      }
    }),
  )
  const found = await Promise.all(checks.map(({ finite }) => finite))
  return checks.find((_, i) => !found[i])?.place ?? null
}

/** Names of tensors that learn, and of the copies that are computed with. */
export function parameterNames(parameters: readonly OptimizerParameter[]): Map<Tensor, string> {
  const names = new Map<Tensor, string>()
  for (const { name, master, copy } of parameters) {
    names.set(master, name)
    if (copy) names.set(copy, name)
  }
  return names
}

function layerOf(parameter: string): string {
  return parameter.replace(/\.(weight|bias)$/, '')
}
