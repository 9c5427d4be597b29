/** LoRA and textual inversion files from their indexes. */
import type { TensorFile } from '../io/tensorFile.ts'
import { TorchFile, TorchTensor } from '../io/torchFile.ts'
import { sd1, sd2 } from '../models/stableDiffusion/config.ts'
import type { LoraStyle } from '../networks/loraKeys/names.ts'
import { resolveLoraKeys } from '../networks/loraKeys/resolve.ts'
import { loraVersion } from '../networks/loraVersion.ts'
import { rankOf, sizesIn } from '../networks/moduleShapes.ts'
import { CheckpointError } from '../util/errors.ts'

export interface LoraReport {
  readonly style: LoraStyle
  /** How many modules are of each kind: `lora`, `loha`, `lokr`. */
  readonly kinds: Readonly<Record<string, number>>
  /** How many modules have each rank; `full` for a LoKr of two whole matrices. */
  readonly ranks: Readonly<Record<string, number>>
  /** How many modules have each alpha; `none` where the file does not say. */
  readonly alphas: Readonly<Record<string, number>>
  /** Modules of each part. */
  readonly targets: Readonly<Record<'textEncoder' | 'unet', number>>
  /** Modules by the kind of their layer: `attn2.to_q`, `mlp.fc1`, `conv1`. */
  readonly layers: Readonly<Record<string, number>>
  /** What its metadata says about the training: a selection of the `ss_*` texts, by their names there. */
  readonly training: Readonly<Record<string, string>>
}

export interface EmbeddingReport {
  /** The token's name, where the file has one. */
  readonly token: string | null
  /** Rows: how many tokens of a caption it takes. */
  readonly vectors: number
  /** Numbers of a row: 768 for 1.x, 1024 for 2.x. */
  readonly width: number
  /** Whether every cross-attention layer has rows of its own. */
  readonly layers: boolean
}

const trainingKeys = [
  'ss_output_name',
  'ss_base_model_version',
  'ss_sd_model_name',
  'ss_vae_name',
  'ss_v2',
  'ss_network_module',
  'ss_network_dim',
  'ss_network_alpha',
  'ss_optimizer',
  'ss_learning_rate',
  'ss_lr_scheduler',
  'ss_num_train_images',
  'ss_num_epochs',
  'ss_steps',
  'ss_mixed_precision',
  'ss_seed',
  'ss_training_comment',
] as const

interface LoraFindings {
  readonly lora: LoraReport | null
  readonly version: 1 | 2 | null
  readonly refusal: string | null
  /** Keys that no layer of Stable Diffusion has. */
  readonly unknown: readonly string[]
}

export async function inspectLora(file: TensorFile): Promise<LoraFindings> {
  const version = loraVersion(file)
  try {
    const config = version === 2 ? sd2 : sd1
    const { style, modules, unused } = resolveLoraKeys(file.path, file.names, config, { allowUnknown: true })
    const [kinds, ranks, alphas, layers] = [new Counts(), new Counts(), new Counts(), new Counts()]
    const targets = { textEncoder: 0, unet: 0 }
    for (const { layer, kind, weights, alpha } of modules) {
      const shapes = Object.fromEntries(Object.entries(weights).map(([end, key]) => [end, file.info(key).shape]))
      kinds.add(kind)
      ranks.add(String(rankOf(sizesIn(kind, shapes)) ?? 'full'))
      alphas.add(alpha === null ? 'none' : await alphaText(file, alpha))
      targets[layer.part]++
      layers.add(layerKind(layer.path))
    }
    const training = Object.fromEntries(
      trainingKeys.flatMap((key) => {
        const text = file.metadata.get(key)
        return text === undefined || text === 'None' ? [] : [[key, text]]
      }),
    )
    const counts = { kinds: kinds.sorted(), ranks: ranks.sorted(), alphas: alphas.sorted(), layers: layers.sorted() }
    const lora = { style, ...counts, targets, training }
    return { lora, version, refusal: null, unknown: unused }
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error
    return { lora: null, version, refusal: error.message.slice(file.path.length + 2), unknown: [] }
  }
}

/** One number, or what is there instead. */
async function alphaText(file: TensorFile, key: string): Promise<string> {
  const { shape } = file.info(key)
  if (shape.some((size) => size !== 1)) return `[${shape.join(', ')}]`
  const [value] = await file.readFloat32(key)
  return String(value)
}

/** `attn1.to_q` of `down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q`. */
function layerKind(path: string): string {
  const names = path.split('.').filter((name) => !/^\d+$/.test(name))
  return names.slice(/attn|^ff|mlp|self_attn/.test(names.at(-2) ?? '') ? -2 : -1).join('.')
}

class Counts {
  readonly #counts = new Map<string, number>()

  add(key: string): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
  }

  /** The most frequent first. */
  sorted(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort((a, b) => b[1] - a[1]))
  }
}

export function inspectEmbedding(file: TensorFile): EmbeddingReport {
  const vectors = file instanceof TorchFile ? file.root.get('string_to_param') : undefined
  const [key, tensor] = vectors instanceof Map ? ([...vectors][0] ?? []) : []
  if (file instanceof TorchFile && tensor instanceof TorchTensor) {
    const name = file.root.get('name')
    return { ...sizes(tensor.shape), token: typeof name === 'string' ? name : String(key), layers: false }
  }
  const name = file.names[0]!
  const named = file.names.length === 1 && !/^(emb_params|clip_[lg])$/.test(name)
  return { ...sizes(file.info(name).shape), token: named ? name : null, layers: file.names.length > 1 }
}

function sizes(shape: readonly number[]): { readonly vectors: number; readonly width: number } {
  return { vectors: shape.length > 1 ? shape[0]! : 1, width: shape.at(-1) ?? 0 }
}
