/** The end of a key: which of a module's tensors it is. */

/** A key taken apart. `oldSuffix` marks the suffixes of diffusers before PEFT. */
export interface ParsedKey {
  /** What stands before the suffix, without the wrappers that PEFT puts around a model. */
  readonly name: string
  /** As kohya's tools and LyCORIS end it: `lora_down.weight`, `hada_w1_a`, `alpha`. */
  readonly tensor: string
  readonly oldSuffix: boolean
}

const tensors: Readonly<Record<string, string>> = {
  down: 'lora_down.weight',
  A: 'lora_down.weight',
  up: 'lora_up.weight',
  B: 'lora_up.weight',
}

/** `.lora_down.weight`, `.lora_A.weight`, `.lora_A.<adapter>.weight` */
const current = /^(.+)\.lora_(down|up|A|B)(?:\.[\w-]+?)?(?:\.weight)?$/
/** `_lora.down.weight`, `.lora.down.weight`, `.lora_linear_layer.down.weight` */
const old = /^(.+?)(?:_lora|\.lora|\.lora_linear_layer)\.(down|up)\.weight$/
/** `.hada_w1_a`, `.lokr_w2` */
const other = /^(.+)\.(hada_w[12]_[ab]|lokr_w[12](?:_[ab])?)$/
const alpha = /^(.+?)((?:_lora|\.lora|\.lora_linear_layer)(?:\.down\.weight)?)?\.alpha$/
const wrappers = /^(?:base_model\.model\.)+/

/** @returns null when the key does not end as a tensor of a LoRA, LoHa or LoKr does */
export function parseLoraKey(key: string): ParsedKey | null {
  const name = (text: string): string => text.replace(wrappers, '')
  const plain = current.exec(key)
  if (plain) return { name: name(plain[1]!), tensor: tensors[plain[2]!]!, oldSuffix: false }
  const older = old.exec(key)
  if (older) return { name: name(older[1]!), tensor: tensors[older[2]!]!, oldSuffix: true }
  const lycoris = other.exec(key)
  if (lycoris) return { name: name(lycoris[1]!), tensor: lycoris[2]!, oldSuffix: false }
  const scalar = alpha.exec(key)
  if (scalar) return { name: name(scalar[1]!), tensor: 'alpha', oldSuffix: scalar[2] !== undefined }
  return null
}
