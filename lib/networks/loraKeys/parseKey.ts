/** The end of a key: which of a module's tensors it is. */

/** A key taken apart. `oldSuffix` marks the suffixes of diffusers before PEFT. */
export interface ParsedKey {
  /** What stands before the suffix, without the wrappers that PEFT puts around a model. */
  readonly name: string
  readonly tensor: 'down' | 'up' | 'alpha'
  readonly oldSuffix: boolean
}

const tensors: Readonly<Record<string, 'down' | 'up'>> = { down: 'down', A: 'down', up: 'up', B: 'up' }

/** `.lora_down.weight`, `.lora_A.weight`, `.lora_A.<adapter>.weight` */
const current = /^(.+)\.lora_(down|up|A|B)(?:\.[\w-]+?)?(?:\.weight)?$/
/** `_lora.down.weight`, `.lora.down.weight`, `.lora_linear_layer.down.weight` */
const old = /^(.+?)(?:_lora|\.lora|\.lora_linear_layer)\.(down|up)\.weight$/
const alpha = /^(.+?)((?:_lora|\.lora|\.lora_linear_layer)(?:\.down\.weight)?)?\.alpha$/
const wrappers = /^(?:base_model\.model\.)+/

/** @returns null when the key does not end as a tensor of a low-rank module does */
export function parseLoraKey(key: string): ParsedKey | null {
  const name = (text: string): string => text.replace(wrappers, '')
  const plain = current.exec(key)
  if (plain) return { name: name(plain[1]!), tensor: tensors[plain[2]!]!, oldSuffix: false }
  const older = old.exec(key)
  if (older) return { name: name(older[1]!), tensor: tensors[older[2]!]!, oldSuffix: true }
  const scalar = alpha.exec(key)
  if (scalar) return { name: name(scalar[1]!), tensor: 'alpha', oldSuffix: scalar[2] !== undefined }
  return null
}
