/**
 * The whole boundary to native code as one interface. A structure test compares it with what the binary exports.
 * Arguments are checked by lib/ops before they come here.
 */
/** Element types, in the order of native/core/dtype.h. float16 is for storage; arithmetic is float32 or bfloat16 with float32 sums. */
export type DType = 'float32' | 'bfloat16' | 'float16' | 'uint8' | 'int8' | 'int32' | 'int64' | 'bool'

/** A native reference to a tensor's storage, shape and layout. Owned by one Tensor. */
export interface Handle {
  readonly shape: readonly number[]
  readonly dtype: DType
}

export type MaybeHandle = Handle | null

export interface Addon {
  // ---- devices, counters, settings
  /** Copies `bytes` before it returns. */
  fromBytes(device: string, bytes: Uint8Array, shape: readonly number[], dtype: DType): Handle
  /** The packed elements, once everything enqueued before has run. */
  read(tensor: Handle): Promise<ArrayBuffer>
  dispose(tensor: Handle): void
  /** What is enqueued from now on belongs to op number `sequence`. */
  mark(sequence: number): void
  /** Another view of the same storage. Strides and offset in elements, the offset relative to that of `tensor`. */
  view(tensor: Handle, shape: readonly number[], strides: readonly number[], offset: number): Handle
  retain(tensor: Handle): Handle
  /** Strides followed by the offset, in elements. */
  layout(tensor: Handle): number[]
  deviceOf(tensor: Handle): string
  /** Why there is no CUDA device; empty when there is one. */
  cudaStatus(): string
  /** Live buffers, live, peak and cached bytes, guard violations, jobs run, jobs waiting. */
  memory(device: string): [number, number, number, number, number, number, number]
  resetPeak(device: string): void
  releaseCached(device: string): void
  setMemoryLimit(device: string, bytes: number): void
  setMemoryGuards(on: boolean): void
  /** How many of two writes outside a buffer, made on purpose, guard mode noticed. */
  checkGuards(): number
  setThreadCount(count: number): void
  threadCount(): number
  cpuTargets(): string[]
  cpuTarget(): string
  /** False when this machine cannot run `name`. Takes effect in queue order. */
  setCpuTarget(name: string): boolean

  // ---- files
  /** Elements read from byte `offset` of an open file when the op runs; the descriptor may be closed after the call. */
  fileTensor(descriptor: number, offset: number, shape: readonly number[], dtype: DType): Handle

  // ---- ops
  fill(shape: readonly number[], dtype: DType, value: number): Handle
  randomUniform(shape: readonly number[], seed: bigint, stream: bigint, low: number, high: number): Handle
  randomNormal(shape: readonly number[], seed: bigint, stream: bigint): Handle
  /** [tasks, 2]: lanes of a vector and a sum, after 12 * `vectors` multiply-adds of whole vectors in each task. For benchmarks. */
  peakProbe(tasks: number, vectors: number): Handle
  /** a + b (op 0), a - b (1) or a * b (2); b broadcast along its axes of size 1. */
  addForward(a: Handle, b: Handle, op: number): Handle
}
