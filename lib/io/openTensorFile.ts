import { openSafetensors } from './safetensors.ts'
import type { TensorFile } from './tensorFile.ts'

/** Opens a file of named tensors. */
export async function openTensorFile(path: string): Promise<TensorFile> {
  return openSafetensors(path)
}
