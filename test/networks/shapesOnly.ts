/** Files of tensors that are not there: keys and shapes without weights, and files with values by the formula. */
import type { TensorFile } from '../../lib/io/tensorFile.ts'
import { elementCount, formulaValues } from '../support/formula.ts'

export interface FakeFileOptions {
  readonly metadata?: Readonly<Record<string, string>>
  /** Values of a tensor. Default: zeros. */
  readonly values?: (name: string, shape: readonly number[]) => Float32Array
}

/** An open file of float32 tensors with these shapes. A scalar is 1 unless `values` says otherwise. */
export function shapesOnly(
  path: string,
  shapes: Readonly<Record<string, readonly number[]>>,
  { metadata = {}, values }: FakeFileOptions = {},
): TensorFile {
  const shape = (name: string): readonly number[] => shapes[name]!
  const floats = (name: string): Float32Array =>
    values?.(name, shape(name)) ?? new Float32Array(elementCount(shape(name))).fill(shape(name).length === 0 ? 1 : 0)
  return {
    path,
    metadata: new Map(Object.entries(metadata)),
    names: Object.keys(shapes),
    has: (name) => name in shapes,
    info: (name) => ({ name, dtype: 'F32', shape: shape(name), byteLength: 4 * elementCount(shape(name)) }),
    read: async (name) => new Uint8Array(floats(name).buffer),
    readFloat32: async (name) => floats(name),
    close: async () => {},
  }
}

/** LoRA weights by their key, as scripts/reference/lora_apply.py makes them. */
export function loraFormula(name: string, shape: readonly number[]): Float32Array {
  const down = /down\.weight$|lora_A/.test(name)
  const scale = down ? 1 / Math.sqrt(elementCount(shape.slice(1))) : 0.1
  return formulaValues(name, { shape, kind: 'uniform', scale })
}
