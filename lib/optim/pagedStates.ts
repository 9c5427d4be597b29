/**
 * States outside the memory that a step computes in, for machines with too little of it: in files of the CPU, in pinned host memory
 * of a GPU, which its kernels read and write over the bus.
 */
import { tmpdir } from 'node:os'
import { pagedZeros, pinnedZeros, zeros } from '../tensor/create.ts'
import { type DType, itemSize } from '../tensor/dtype.ts'
import { keep } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError, OutOfMemoryError } from '../util/errors.ts'
import type { OptimizerParameter } from './optimizer.ts'

export interface PagedSettings {
  /**
   * Where the files are made; they have no names and end with the process. A fast local disk. Default: the system's folder for temporary
   * files. For parameters on a GPU, which have no files, it is refused.
   */
  readonly folder?: string
  /**
   * Bytes of states, those of the first parameters first, that stay where the step computes. On the CPU: that may stay in memory after
   * a step, the others are written out at once; default: the system decides. On a GPU: that lie in its own memory, the others lie in
   * host memory; default 0.
   */
  readonly residentBytes?: number
}

export interface PagedStates {
  readonly folder: string | undefined
  readonly residentBytes: number | undefined
}

/** A state that pages, before it is made. */
export interface LargeState {
  readonly parameter: OptimizerParameter
  readonly dtype: DType
}

/** Smaller states are not worth a file, or an allocation, of their own. */
const leastPagedSize = 100_000

/** Pinned memory is lost to everybody else: the part that is left for what else the machine does, of what is available. */
const unpinnedPart = 1 / 4

export function isLargeState({ size }: Tensor): boolean {
  return size >= leastPagedSize
}

/** Takes the settings of paging out of an optimizer's. */
export function pagedStates<T extends PagedSettings>(
  op: string,
  settings: T,
): { readonly rest: Omit<T, keyof PagedSettings>; readonly paged: PagedStates } {
  const { folder, residentBytes, ...rest } = settings
  if (residentBytes !== undefined && !(residentBytes >= 0))
    throw new ArgumentError(op, 'residentBytes', '0 or more', String(residentBytes))
  return { rest, paged: { folder, residentBytes } }
}

/** Where the next state lies; asked for one after the other, in the order of the parameters. */
function placesOf({ residentBytes = 0 }: PagedStates): (state: LargeState) => 'file' | 'gpu' | 'host' {
  let onGpu = 0
  return ({ parameter: { master }, dtype }) => {
    if (master.device === 'cpu') return 'file'
    onGpu += master.size * itemSize[dtype]
    return onGpu <= residentBytes ? 'gpu' : 'host'
  }
}

/**
 * Looks whether the states have a place, before the first of them is made.
 * @throws ArgumentError for a folder with parameters on a GPU, OutOfMemoryError when the host has too little memory to pin
 */
export function expectPlaces(op: string, paged: PagedStates, states: readonly LargeState[]): void {
  const remote = states.find(({ parameter }) => parameter.master.device !== 'cpu')?.parameter
  if (remote && paged.folder !== undefined) {
    const expected = 'left out for parameters on a GPU, whose states lie in pinned host memory and not in files'
    throw new ArgumentError(op, 'folder', expected, `"${paged.folder}" with ${remote.name} on ${remote.master.device}`)
  }
  const placeOf = placesOf(paged)
  let bytes = 0
  for (const state of states)
    if (placeOf(state) === 'host') bytes += state.parameter.master.size * itemSize[state.dtype]
  if (bytes === 0) return
  const available = process.availableMemory()
  if (bytes > available * (1 - unpinnedPart))
    throw new OutOfMemoryError(
      `${op}: its states need ${bytes} bytes of pinned host memory, and three quarters of the ${available} that are available may be ` +
        'taken: keep more of the states on the GPU (residentBytes, resident_bytes), or take the optimizer of that name without Paged',
    )
}

/**
 * Makes states of zeros, in the order of the parameters, each in its place. What is not to be had, room in the folder or pinned memory,
 * is the error of the next read.
 */
export function pagedStateMaker(paged: PagedStates): (state: LargeState) => Tensor {
  const placeOf = placesOf(paged)
  return (state) => {
    const { shape, device } = state.parameter.master
    const options = { dtype: state.dtype, device }
    switch (placeOf(state)) {
      case 'file':
        return keep(pagedZeros(shape, paged.folder ?? tmpdir(), options))
      case 'gpu':
        return keep(zeros(shape, options))
      case 'host':
        return keep(pinnedZeros(shape, options))
    }
  }
}

/** Of states in the order of the parameters, those that may not stay in memory after a step. What lies in no file stays where it is. */
export function beyondBudget(
  { residentBytes = Number.POSITIVE_INFINITY }: PagedStates,
  states: readonly Tensor[],
): readonly Tensor[] {
  let bytes = 0
  return states.filter(({ size, dtype, device }) => {
    if (device !== 'cpu') return false
    bytes += size * itemSize[dtype]
    return bytes > residentBytes
  })
}
