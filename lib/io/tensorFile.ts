/** What every file of named tensors looks like to its readers, whatever its format. */
import type { FileDType } from './tensorBytes.ts'

/** Where one tensor lies. */
export interface TensorInfo {
  readonly name: string
  readonly dtype: FileDType
  /** Empty for a scalar. */
  readonly shape: readonly number[]
  readonly byteLength: number
  /**
   * Where the tensor's bytes lie on the disk, for readers that go to the operating system themselves: an open file and the
   * position of the first byte in it. Absent when they are not one run in row-major order, or not in a file: use `read`.
   */
  readonly place?: { readonly descriptor: number; readonly byteOffset: number } | undefined
}

/** An open file of named tensors. Only its index is in memory; each read fetches one tensor. */
export interface TensorFile {
  readonly path: string
  /** Texts stored beside the tensors; empty where there are none. */
  readonly metadata: ReadonlyMap<string, string>
  /** In the order of the file. */
  readonly names: readonly string[]
  has(name: string): boolean
  /** @throws CheckpointError naming the nearest tensor when there is none of that name */
  info(name: string): TensorInfo
  /**
   * The tensor's bytes: little-endian, row-major, in memory that the caller owns, aligned for any element type.
   *
   * @throws IoError when the file cannot be read; DisposedError after `close`
   */
  read(name: string): Promise<Uint8Array>
  /** The tensor's values as float32, whatever the type in the file (booleans are 0 and 1). */
  readFloat32(name: string): Promise<Float32Array>
  /** Closes the file; a second call does nothing. Tensors already read stay valid. */
  close(): Promise<void>
}
