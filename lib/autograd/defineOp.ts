import { markCall } from '../tensor/callSite.ts'
import { expectSameDevice } from '../tensor/device.ts'
import { counters } from '../tensor/runtime.ts'
import { elementCount, formatShape } from '../tensor/shape.ts'
import { retain, Tensor } from '../tensor/tensor.ts'
import { ArgumentError, NativeError } from '../util/errors.ts'
import { backpropagate } from './backward.ts'
import { tellObserver } from './observeOps.ts'
import { edgeTo, gradientsEnabled, noGrad, TapeNode, withGrad } from './tape.ts'

/** The inputs of an op, in order; null for an optional one that is absent. */
export type OpInputs = readonly (Tensor | null)[]

/** One gradient for each input, null where there is none. */
export type Gradients<Inputs extends OpInputs> = { readonly [K in keyof Inputs]: Tensor | null }

export interface OpDefinition<Inputs extends OpInputs, Saved extends OpInputs, Options> {
  /** Names of the inputs, for messages. */
  readonly inputs: { readonly [K in keyof Inputs]: string }
  /** Inputs may be strided views. Default: they must be contiguous. */
  readonly strided?: boolean
  /** Throws ArgumentError for what a user can get wrong. Inputs are alive, on one device, not empty, and contiguous unless `strided`. */
  check?(inputs: Inputs, options: Options): void
  /** Enqueues the op. `save` keeps tensors for `backward`; call it at most once. `needs` says which inputs want a gradient. */
  forward(inputs: Inputs, options: Options, save: (...tensors: Saved) => void, needs: Needs<Inputs>): Tensor
  /**
   * The gradients of the inputs, given that of the output. `'none'`: not differentiable. `'reference'`: that of the composition.
   * `needs[i]` is false where the gradient of input i would be thrown away.
   */
  readonly backward:
    | 'none'
    | 'reference'
    | ((dy: Tensor, saved: Saved, options: Options, needs: Needs<Inputs>) => Gradients<Inputs>)
  /** The same result composed from other ops: oracle, documentation and slow path at once. */
  reference?(inputs: Inputs, options: Options): Tensor
  /** Why the native kernel cannot serve these arguments, or null when it can. The reference serves them then, and is counted. */
  unsupported?(inputs: Inputs, options: Options): string | null
}

export type Needs<Inputs extends OpInputs> = { readonly [K in keyof Inputs]: boolean }

// biome-ignore lint/complexity/noBannedTypes: {} is how TypeScript asks whether every option is optional
type OptionsArgument<Options> = {} extends Options ? [options?: Options] : [options: Options]

/** An op as users call it: inputs, then options. `reference` and `opName` are for tests, benchmarks and documentation. */
export interface Op<Inputs extends OpInputs, Options> {
  (...args: [...Inputs, ...OptionsArgument<Options>]): Tensor
  readonly opName: string
  readonly inputNames: readonly string[]
  readonly differentiable: boolean
  readonly reference: ((inputs: Inputs, options: Options) => Tensor) | null
}

let strict = process.env.NOISEWRIGHT_STRICT === '1'

/** In strict mode a fallback to a reference composition is an error. Tests run in it. */
export function setStrict(on: boolean): void {
  strict = on
}

/** Defines an op from its parts: argument checks, the tape and the fallback are the same for all. */
export function defineOp<Inputs extends OpInputs, Saved extends OpInputs, Options extends object>(
  name: string,
  definition: OpDefinition<Inputs, Saved, Options>,
): Op<Inputs, Options> {
  const { inputs: names, backward } = definition
  const count = names.length

  const op = (...args: unknown[]): Tensor => {
    const inputs = args.slice(0, count) as unknown as Inputs
    const options = (args[count] ?? {}) as Options
    if (args.length > count + 1) throw new ArgumentError(name, 'arguments', `at most ${count + 1}`, String(args.length))
    checkInputs(name, names as readonly string[], inputs, definition.strided ?? false)
    definition.check?.(inputs, options)
    const reason = definition.unsupported?.(inputs, options) ?? null
    if (reason !== null) return fallBack(name, definition, inputs, options, reason)

    const recording = backward !== 'none' && gradientsEnabled() && inputs.some((input) => input?.tracked)
    const needs = inputs.map((input) => recording && (input?.tracked ?? false)) as unknown as Needs<Inputs>
    const site = markCall()
    let saved: (Tensor | null)[] = []
    const save = (...tensors: Saved): void => {
      if (recording) saved = tensors.map((tensor) => tensor && retain(tensor))
    }
    const y = definition.forward(inputs, options, save, needs)
    tellObserver(name, inputs, y)
    if (!recording) return y
    if (backward === 'reference') {
      for (const tensor of saved) tensor?.dispose()
      saved = inputs.map((input) => input && retain(input))
    }
    const node = new TapeNode({
      op: name,
      edges: inputs.map(edgeTo),
      saved,
      backward: ([dy]) => {
        if (!dy) return inputs.map(() => null)
        markCall(site)
        if (typeof backward === 'function') return backward(dy, saved as unknown as Saved, options, needs)
        return referenceBackward(definition, saved as unknown as Inputs, options, needs, dy)
      },
    })
    y.origin = { node, output: 0 }
    return y
  }
  return Object.assign(op, {
    opName: name,
    inputNames: names as readonly string[],
    differentiable: backward !== 'none',
    reference: definition.reference?.bind(definition) ?? null,
  }) as unknown as Op<Inputs, Options>
}

function checkInputs(op: string, names: readonly string[], inputs: OpInputs, strided: boolean): void {
  let first: Tensor | undefined
  let firstName = ''
  names.forEach((name, i) => {
    const input = inputs[i]
    if (input === null) return
    if (!(input instanceof Tensor))
      throw new ArgumentError(op, name, 'a Tensor', input === undefined ? 'nothing' : typeof input)
    const { handle } = input // throws for a disposed tensor
    if (elementCount(handle.shape) === 0) throw new ArgumentError(op, name, 'not empty', formatShape(handle.shape))
    if (first === undefined) {
      first = input
      firstName = name
    } else expectSameDevice(op, firstName, first, name, input)
    if (!strided && !input.contiguous)
      throw new ArgumentError(
        op,
        name,
        'contiguous (call contiguous(x))',
        `shape ${formatShape(input.shape)} with strides ${formatShape(input.strides)}`,
      )
  })
}

const reported = new Set<string>()

function fallBack<Inputs extends OpInputs, Saved extends OpInputs, Options extends object>(
  name: string,
  definition: OpDefinition<Inputs, Saved, Options>,
  inputs: Inputs,
  options: Options,
  reason: string,
): Tensor {
  if (strict || !definition.reference) throw new NativeError(`${name}: no kernel for this call (${reason})`)
  counters.fallbacks++
  if (!reported.has(name + reason)) {
    reported.add(name + reason)
    process.emitWarning(`${name} runs its slow reference composition: ${reason}`, { type: 'NoisewrightFallback' })
  }
  return definition.reference(inputs, options)
}

/** Gradients of the reference composition: recorded again from the saved inputs, then run backward. */
function referenceBackward<Inputs extends OpInputs, Saved extends OpInputs, Options extends object>(
  definition: OpDefinition<Inputs, Saved, Options>,
  inputs: Inputs,
  options: Options,
  needs: Needs<Inputs>,
  dy: Tensor,
): (Tensor | null)[] {
  if (!definition.reference) throw new NativeError("an op with backward 'reference' must have a reference")
  const leaves = inputs.map((input, i) => {
    const leaf = input && retain(input)
    if (leaf) leaf.requiresGrad = needs[i] ?? false
    return leaf
  })
  const y = withGrad(() => definition.reference!(leaves as unknown as Inputs, options))
  if (y.origin)
    noGrad(() => backpropagate([{ node: y.origin!.node as TapeNode, output: y.origin!.output, gradient: dy }], leaves))
  return leaves.map((leaf) => {
    const gradient = leaf?.grad ?? null
    if (leaf) leaf.grad = null
    leaf?.dispose()
    return gradient
  })
}
