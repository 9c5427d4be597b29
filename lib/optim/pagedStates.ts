/** States in files: for machines with too little memory for them. */
import { tmpdir } from 'node:os'
import { pageOut } from '../tensor/create.ts'
import { itemSize } from '../tensor/dtype.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import type { OptimizerParameter } from './optimizer.ts'

export interface PagedSettings {
  /** Where the files are made; they have no names and end with the process. A fast local disk. Default: the system's folder for temporary files. */
  readonly folder?: string
  /** Bytes of states that may stay in memory after a step; the others are written out at once. Default: the system decides. */
  readonly residentBytes?: number
}

export interface PagedStates {
  readonly folder: string
  readonly residentBytes: number
}

/** Smaller states are not worth a file of their own. */
const leastPagedSize = 100_000

export function isLargeState({ size }: Tensor): boolean {
  return size >= leastPagedSize
}

/** @throws ArgumentError for a parameter on a GPU, whose kernels do not reach the memory of files */
export function expectPageable(op: string, { name, master }: OptimizerParameter): void {
  if (master.device === 'cpu') return
  const expected = `on the CPU: states in files are out of a GPU's reach (${op.replace(/^paged/, '')} keeps them on the GPU)`
  throw new ArgumentError(op, name, expected, `a parameter on ${master.device}`)
}

/** Takes the settings of paging out of an optimizer's. */
export function pagedStates<T extends PagedSettings>(
  op: string,
  settings: T,
): { readonly rest: Omit<T, keyof PagedSettings>; readonly paged: PagedStates } {
  const { folder = tmpdir(), residentBytes = Number.POSITIVE_INFINITY, ...rest } = settings
  if (!(residentBytes >= 0)) throw new ArgumentError(op, 'residentBytes', '0 or more', String(residentBytes))
  return { rest, paged: { folder, residentBytes } }
}

/** After a step: the first states stay as far as the budget goes. */
export function pageOutBeyond({ residentBytes }: PagedStates, states: readonly Tensor[]): void {
  let bytes = 0
  const beyond = states.filter(({ size, dtype }) => {
    bytes += size * itemSize[dtype]
    return bytes > residentBytes
  })
  if (beyond.length > 0) pageOut(beyond)
}
