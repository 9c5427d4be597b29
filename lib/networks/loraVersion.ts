import type { TensorFile } from '../io/tensorFile.ts'
import { parseLoraKey } from './loraKeys/parseKey.ts'

/** Widths of what the U-Net attends to and of text encoders, which only one version has. */
const versions: Readonly<Record<number, 1 | 2>> = { 768: 1, 1024: 2 }

/**
 * The version of the models a LoRA is for: told by the width of its modules for cross-attention and the text encoder, else by the
 * training's metadata; null where neither tells.
 */
export function loraVersion(file: Pick<TensorFile, 'names' | 'info' | 'metadata'>): 1 | 2 | null {
  for (const key of file.names) {
    const parsed = parseLoraKey(key)
    if (parsed?.tensor !== 'down' || !/attn2[._](processor[._])?to_[kv]|self_attn/.test(key)) continue
    const version = versions[file.info(key).shape[1] ?? 0]
    if (version !== undefined) return version
  }
  const v2 = file.metadata.get('ss_v2')
  return v2 === undefined ? null : v2 === 'True' ? 2 : 1
}
