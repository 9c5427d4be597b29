import { extname } from 'node:path'
import { ArgumentError } from '../util/errors.ts'

/** Containers that small networks are written in; `pt` is PyTorch's. */
export type TensorFormat = 'safetensors' | 'pt'

/**
 * The container that a file's extension asks for.
 * @throws ArgumentError for an extension of neither
 */
export function formatOf(op: string, path: string): TensorFormat {
  const extension = extname(path).toLowerCase()
  if (extension === '.safetensors') return 'safetensors'
  if (['.ckpt', '.pt', '.pth', '.bin'].includes(extension)) return 'pt'
  throw new ArgumentError(op, 'path', 'a .safetensors, .ckpt, .pt, .pth or .bin file', extension || 'no extension')
}
