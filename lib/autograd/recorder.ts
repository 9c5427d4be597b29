/**
 * Steps that are repeated without their JavaScript. A step of a training enqueues the same thousand jobs each time, with other
 * numbers in its inputs. The second time that one comes with inputs of the same shapes, its jobs are kept beside being run; from
 * then on they are run again by one call, on a GPU as a CUDA graph (native/core/recording.h).
 */
import type { Handle, RecordingHandle } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { markCall } from '../tensor/callSite.ts'
import { Scope, scope } from '../tensor/scope.ts'
import { retain, type SharedHandle, type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { addGradients, backpropagate, type Contribution, collectGradients } from './backward.ts'
import { observeOps } from './observeOps.ts'
import { gradientsEnabled, noGrad, TapeNode } from './tape.ts'

/** Inputs of a step, in order; null for one that is absent. */
export type StepInputs = readonly (Tensor | null)[]

/** What is run. It may run backward passes; its results have no history left. Not asynchronous. */
export type StepBody<Results extends readonly Tensor[]> = (...inputs: (Tensor | null)[]) => Results

/** A step that cannot be repeated, and therefore runs as JavaScript says each time. */
export interface RefusedStep {
  /** What cannot be repeated: an op, or `result` or `tensor` for what the step hands out. */
  readonly op: string
  readonly reason: string
}

export interface RecorderOptions {
  /** Most steps, told apart by shapes and key, that are kept; the one that was not used for longest goes. Default 8. */
  readonly maxRecordings?: number
  /** Told of each step that turned out not to be repeatable. Default: nobody. */
  readonly onRefused?: (refused: RefusedStep) => void
}

/** How steps were run. */
export interface RecorderReport {
  /** Steps that are kept. */
  readonly recordings: number
  /** Runs of them that are over. */
  readonly replays: number
  /** Those of these that were one launch of a CUDA graph. */
  readonly graphLaunches: number
  /** Why kept steps are run job by job on a GPU, each reason once. */
  readonly withoutGraph: readonly string[]
  readonly refused: readonly RefusedStep[]
}

/** What a step gave that was recorded or replayed. Gradients of leaves have been added to them. */
export interface RecordedRun<Results> {
  readonly results: Results
  /** What has reached inputs that were made by other ops; pass them on with {@link backwardFromInputs}. */
  readonly gradients: readonly (Tensor | null)[]
}

/** Where one of the tensors that a recording gives belongs. */
type Place = 'result' | { readonly leaf: Tensor } | { readonly leafInput: number } | { readonly madeInput: number }

interface Kept {
  readonly recording: RecordingHandle
  readonly places: readonly Place[]
  /** Tensors that the step found, such as parameters, and whether they were to learn. */
  readonly found: ReadonlyMap<Tensor, boolean>
  /** How often the step was recorded, because what it found had changed. */
  readonly times: number
}

/** A step that finds something else each time is not worth it. */
const mostRecordings = 4

type Known = { readonly state: 'seen' } | { readonly state: 'refused'; readonly why: RefusedStep } | KeptStep
type KeptStep = { readonly state: 'kept'; readonly kept: Kept }

/** Records and repeats steps. */
export class Recorder {
  readonly #maxRecordings: number
  readonly #onRefused: ((refused: RefusedStep) => void) | undefined
  /** The one used last comes last. */
  readonly #steps = new Map<string, Known>()

  constructor({ maxRecordings = 8, onRefused }: RecorderOptions = {}) {
    if (!Number.isInteger(maxRecordings) || maxRecordings < 1)
      throw new ArgumentError('Recorder', 'maxRecordings', 'a whole number from 1', String(maxRecordings))
    this.#maxRecordings = maxRecordings
    this.#onRefused = onRefused
  }

  /**
   * Runs a step by its recording, or runs and records it. Everything that decides what `body` enqueues, but for its inputs and the
   * tensors that it finds, must be part of `key`: numbers that are no tensors are repeated as they were.
   * @returns null when the caller is to run the step: it came for the first time, or cannot be repeated
   * @throws ArgumentError for inputs that are strided, on several devices or all absent
   */
  run<Results extends readonly Tensor[]>(
    inputs: StepInputs,
    key: string,
    body: StepBody<Results>,
  ): RecordedRun<Results> | null {
    checkInputs(inputs)
    const name = `${key} ${gradientsEnabled()} ${inputs.map(describe).join(' ')}`
    const known = this.#steps.get(name)
    this.#steps.delete(name)
    if (known === undefined || known.state === 'refused') {
      this.#remember(name, known ?? { state: 'seen' })
      return null
    }
    if (known.state === 'kept') {
      if (isUnchanged(known.kept)) {
        this.#remember(name, known)
        const { recording, places } = known.kept
        markCall()
        return settle(wrapAll(addon.replay(recording, handlesOf(inputs))), places, inputs)
      }
      addon.disposeRecording(known.kept.recording)
      if (known.kept.times === mostRecordings) {
        this.#refuse(name, { op: 'tensor', reason: 'that the step finds is often another one: make it an input' })
        return null
      }
    }
    const { run, next } = record(inputs, body, known.state === 'kept' ? known.kept.times + 1 : 1)
    if (next.state === 'refused') this.#refuse(name, next.why)
    else this.#remember(name, next)
    return run
  }

  #refuse(name: string, why: RefusedStep): void {
    this.#remember(name, { state: 'refused', why })
    this.#onRefused?.(why)
  }

  report(): RecorderReport {
    const steps = [...this.#steps.values()]
    const reports = steps.flatMap((step) => (step.state === 'kept' ? [addon.recordingReport(step.kept.recording)] : []))
    return {
      recordings: reports.length,
      replays: reports.reduce((sum, [replays]) => sum + replays, 0),
      graphLaunches: reports.reduce((sum, [, launches]) => sum + launches, 0),
      withoutGraph: [...new Set(reports.map(([, , reason]) => reason))].filter((reason) => reason !== ''),
      refused: steps.flatMap((step) => (step.state === 'refused' ? [step.why] : [])),
    }
  }

  /** Frees what is kept, once the runs that are under way are over. A step that comes again is new. */
  dispose(): void {
    for (const step of this.#steps.values()) forget(step)
    this.#steps.clear()
  }

  #remember(name: string, step: Known): void {
    this.#steps.set(name, step)
    if (this.#steps.size <= this.#maxRecordings) return
    const [oldest, dropped] = this.#steps.entries().next().value!
    this.#steps.delete(oldest)
    forget(dropped)
  }
}

function forget(step: Known): void {
  if (step.state === 'kept') addon.disposeRecording(step.kept.recording)
}

/** Passes gradients that reached inputs of a step on to what made these. The gradients are used up. */
export function backwardFromInputs(inputs: StepInputs, gradients: readonly (Tensor | null)[]): void {
  const seeds = inputs.flatMap((input, i) => {
    const [origin, gradient] = [input?.origin, gradients[i]]
    return origin && gradient ? [{ node: origin.node as TapeNode, output: origin.output, gradient }] : []
  })
  noGrad(() => scope(() => backpropagate(seeds)))
  for (const gradient of gradients) gradient?.dispose()
}

/**
 * Results of a step as others get them: a replay gives them no history.
 * @throws ArgumentError for one that could still be differentiated
 */
export function endHistory(results: readonly Tensor[]): void {
  for (const result of results) {
    const node = result.origin?.node as TapeNode | undefined
    if (node !== undefined && !node.released)
      throw new ArgumentError('repeatable', 'result', 'without history (call backward in the step)', String(result))
    result.origin = null
  }
}

function checkInputs(inputs: StepInputs): void {
  const present = inputs.filter((input) => input !== null)
  const first = present[0]
  if (first === undefined) throw new ArgumentError('repeatable', 'inputs', 'at least one tensor', 'none')
  for (const { contiguous, device } of present) {
    if (!contiguous) throw new ArgumentError('repeatable', 'inputs', 'contiguous (call contiguous(x))', 'a strided one')
    if (device !== first.device)
      throw new ArgumentError('repeatable', 'inputs', `on one device, ${first.device}`, `one on ${device}`)
  }
}

function describe(input: Tensor | null): string {
  if (input === null) return '-'
  const { shape, dtype, device } = input
  const tracking = !gradientsEnabled() || !input.tracked ? '' : input.origin === null ? '/leaf' : '/made'
  return `${dtype}[${shape.join(',')}]@${device}${tracking}`
}

function handlesOf(inputs: StepInputs): Handle[] {
  return inputs.flatMap((input) => (input === null ? [] : [input.handle]))
}

function wrapAll(handles: readonly Handle[]): Tensor[] {
  return handles.map(wrap)
}

function isUnchanged({ found }: Kept): boolean {
  for (const [tensor, learns] of found) if (tensor.disposed || tensor.requiresGrad !== learns) return false
  return true
}

let watched: Watch | null = null

/** For what decides in JavaScript, by chance or by a counter, what is enqueued: a step that asks for it cannot be repeated. */
export function refuseStep(op: string, reason: string): void {
  watched?.refuse({ op, reason })
}

/** Runs a step whose jobs are kept. */
function record<Results extends readonly Tensor[]>(
  inputs: StepInputs,
  body: StepBody<Results>,
  times: number,
): { readonly run: RecordedRun<Results>; readonly next: Known } {
  markCall()
  const [recording, placeholders] = addon.beginRecording(handlesOf(inputs))
  const opened = new Scope()
  const contributions: Contribution[] = []
  const watch = new Watch()
  const doors = makeDoors(inputs, placeholders)
  try {
    const results = watch.over(() => collectGradients(contributions, () => body(...doors.map(({ inside }) => inside))))
    endHistory(results)
    const outputs = [...results, ...contributions.map(({ gradient }) => gradient)]
    const places: Place[] = [
      ...results.map(() => 'result' as const),
      ...contributions.map(({ leaf }): Place => {
        const input = doors.findIndex(({ inside }) => inside === leaf)
        return input < 0 ? { leaf } : { leafInput: input }
      }),
    ]
    doors.forEach(({ arrived }, madeInput) => {
      if (arrived() === null) return
      outputs.push(arrived()!)
      places.push({ madeInput })
    })
    opened.closeHistory(outputs)
    const why = watch.refusal ?? keptElsewhere(outputs)
    if (why !== null) addon.abandonRecording(recording, why.op, why.reason)
    const fresh =
      why === null
        ? addon.endRecording(
            recording,
            outputs.map(({ handle }) => handle),
          )
        : null
    if (fresh === null) {
      const [op, reason] = addon.recordingRefusal(recording)!
      addon.disposeRecording(recording)
      return { run: settle(outputs, places, inputs), next: { state: 'refused', why: { op, reason } } }
    }
    for (const output of outputs) output.dispose()
    const next: KeptStep = { state: 'kept', kept: { recording, places, found: watch.found(), times } }
    return { run: settle(wrapAll(fresh), places, inputs), next }
  } catch (error) {
    addon.abandonRecording(recording, 'step', 'it failed')
    addon.disposeRecording(recording)
    opened.closeHistory()
    for (const { gradient } of contributions) gradient.dispose()
    for (const { arrived } of doors) arrived()?.dispose()
    throw error
  }
}

/** Hands out what a step gave. */
function settle<Results extends readonly Tensor[]>(
  outputs: readonly Tensor[],
  places: readonly Place[],
  inputs: StepInputs,
): RecordedRun<Results> {
  const results: Tensor[] = []
  const contributions: Contribution[] = []
  const gradients: (Tensor | null)[] = inputs.map(() => null)
  outputs.forEach((output, i) => {
    const place = places[i]!
    if (place === 'result') results.push(output)
    else if ('madeInput' in place) gradients[place.madeInput] = output
    else contributions.push({ leaf: 'leaf' in place ? place.leaf : inputs[place.leafInput]!, gradient: output })
  })
  addGradients(contributions)
  return { results: results as readonly Tensor[] as Results, gradients }
}

/** What stands for an input within a step. */
interface Door {
  readonly inside: Tensor | null
  /** The gradient for what made the input. */
  readonly arrived: () => Tensor | null
}

function makeDoors(inputs: StepInputs, placeholders: readonly Handle[]): Door[] {
  const handles = placeholders.values()
  return inputs.map((input) => {
    let gradient: Tensor | null = null
    const inside = input && wrap(handles.next().value!)
    if (inside !== null && input !== null) {
      inside.requiresGrad = input.requiresGrad
      if (input.origin !== null) {
        const take = ([dy]: readonly (Tensor | null)[]): (Tensor | null)[] => {
          gradient = dy ? retain(dy) : null
          return []
        }
        inside.origin = { node: new TapeNode({ op: 'stepInput', edges: [], saved: [], backward: take }), output: 0 }
      }
    }
    return { inside, arrived: () => gradient }
  })
}

/** Watches which tensors a step finds. */
class Watch {
  /** Nodes of what was made before have lower numbers. */
  readonly #firstNode = new TapeNode({ op: 'step', edges: [], saved: [], backward: () => [] }).id
  readonly #made = new Set<Tensor>()
  readonly #used = new Map<Tensor, boolean>()
  refusal: RefusedStep | null = null

  over<T>(body: () => T): T {
    watched = this
    try {
      return observeOps((op, inputs, result) => {
        for (const input of inputs) if (input !== null && !this.#made.has(input)) this.#use(op, input)
        this.#made.add(result)
      }, body)
    } finally {
      watched = null
    }
  }

  refuse(why: RefusedStep): void {
    this.refusal ??= why
  }

  #use(op: string, input: Tensor): void {
    this.#used.set(input, input.requiresGrad)
    const node = input.origin?.node as TapeNode | undefined
    if (node === undefined || node.id >= this.#firstNode || !gradientsEnabled()) return
    this.refuse({ op, reason: 'differentiates what was made before the step and is none of its inputs' })
  }

  /** Those that there still are: what the step made is freed. */
  found(): ReadonlyMap<Tensor, boolean> {
    return new Map([...this.#used].filter(([tensor]) => !tensor.disposed))
  }
}

/** Whether someone keeps one of the outputs, which would show what a replay makes of it. */
function keptElsewhere(outputs: readonly Tensor[]): RefusedStep | null {
  const counts = new Map<SharedHandle, number>()
  for (const { shared } of outputs) counts.set(shared, (counts.get(shared) ?? 0) + 1)
  const isKept = [...counts].some(([{ references }, count]) => references > count)
  return isKept ? { op: 'result', reason: 'is kept by the step too, where no replay would reach it' } : null
}
