/**
 * The text encoder's parameters in single-file checkpoints. 1.x: CLIP with the names of transformers behind a prefix. 2.x: OpenCLIP, which
 * has names of its own and one matrix for queries, keys and values.
 */
import { ModuleMap, type ModulePair } from './moduleMap.ts'

/** What comes before the names, by version. */
export const textEncoderPrefixes = { 1: 'cond_stage_model.transformer.', 2: 'cond_stage_model.model.' } as const

/** Where one parameter lies: a whole tensor, or the first, second or last third of its rows. */
export interface LdmSlot {
  readonly key: string
  readonly third: 0 | 1 | 2 | null
}

const projections = ['q_proj', 'k_proj', 'v_proj'] as const

const layerModules: readonly ModulePair[] = [
  ['layer_norm1', 'ln_1'],
  ['layer_norm2', 'ln_2'],
  ['self_attn.out_proj', 'attn.out_proj'],
  ['mlp.fc1', 'mlp.c_fc'],
  ['mlp.fc2', 'mlp.c_proj'],
]

function openClipModules(layers: number): ModuleMap {
  const pairs: ModulePair[] = [
    ['text_model.embeddings.token_embedding', 'token_embedding'],
    ['text_model.final_layer_norm', 'ln_final'],
  ]
  for (let layer = 0; layer < layers; layer++)
    for (const [ours, ldm] of layerModules)
      pairs.push([`text_model.encoder.layers.${layer}.${ours}`, `transformer.resblocks.${layer}.${ldm}`])
  return new ModuleMap(pairs)
}

const position = ['text_model.embeddings.position_embedding.weight', 'positional_embedding'] as const

/** Both directions of one version's names, without prefixes. */
export interface TextEncoderKeys {
  /** Undefined for a name that the encoder does not have. */
  toLdm(name: string): LdmSlot | undefined
  /** The parameters that a key holds: three in a fused projection, none for a key that no parameter has. */
  toOurs(key: string): readonly string[]
}

export function textEncoderKeys(version: 1 | 2, layers: number): TextEncoderKeys {
  if (version === 1)
    return {
      toLdm: (name) => (name.startsWith('text_model.') ? { key: name, third: null } : undefined),
      toOurs: (key) => (key.startsWith('text_model.') ? [key] : []),
    }
  const modules = openClipModules(layers)
  const ours = (layer: string): string => `text_model.encoder.layers.${layer}.self_attn`
  return {
    toLdm(name) {
      if (name === position[0]) return { key: position[1], third: null }
      const fused = /^text_model\.encoder\.layers\.(\d+)\.self_attn\.([qkv]_proj)\.(weight|bias)$/.exec(name)
      if (fused && Number(fused[1]) < layers)
        return {
          key: `transformer.resblocks.${fused[1]}.attn.in_proj_${fused[3]}`,
          third: projections.indexOf(fused[2] as (typeof projections)[number]) as 0 | 1 | 2,
        }
      const key = modules.toLdm(name)
      return key === undefined ? undefined : { key, third: null }
    },
    toOurs(key) {
      if (key === position[1]) return [position[0]]
      const fused = /^transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)$/.exec(key)
      if (fused && Number(fused[1]) < layers)
        return projections.map((projection) => `${ours(fused[1]!)}.${projection}.${fused[2]}`)
      const name = modules.toOurs(key)
      return name === undefined ? [] : [name]
    },
  }
}

/** Numbers of the places of a caption, which some files store beside the weights: never needed, always allowed. */
export const positionIds = 'text_model.embeddings.position_ids'

/**
 * Some 1.x files lack one segment of the text encoder's names; this puts it back. Other keys stay as they are.
 * @example repairKey('cond_stage_model.transformer.encoder.layers.0.mlp.fc1.bias')
 */
export function repairKey(key: string): string {
  return key.replace(
    /^cond_stage_model\.transformer\.(?=embeddings\.|encoder\.|final_layer_norm\.)/,
    `${textEncoderPrefixes[1]}text_model.`,
  )
}
