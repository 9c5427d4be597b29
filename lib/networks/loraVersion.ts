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
    if (!/attn2[._](processor[._])?to_[kv]|self_attn/.test(key)) continue
    const version = versions[widthOf(file, key) ?? 0]
    if (version !== undefined) return version
  }
  const v2 = file.metadata.get('ss_v2')
  return v2 === undefined ? null : v2 === 'True' ? 2 : 1
}

/** How many features a module's layer takes, by one of its tensors; null where that one does not tell. */
function widthOf(file: Pick<TensorFile, 'names' | 'info'>, key: string): number | null {
  const columns = (name: string): number | null =>
    file.names.includes(name) ? (file.info(name).shape[1] ?? null) : null
  const tensor = parseLoraKey(key)?.tensor
  if (tensor === 'lora_down.weight' || tensor === 'hada_w1_b') return columns(key)
  if (tensor !== 'lokr_w1' && tensor !== 'lokr_w1_b') return null
  const name = key.slice(0, -tensor.length)
  const rest = columns(`${name}lokr_w2`) ?? columns(`${name}lokr_w2_b`)
  return rest === null ? null : columns(key)! * rest
}
