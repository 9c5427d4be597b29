/** From the keys of a file to the modules of a model. */
import type { LayerShape } from '../../models/stableDiffusion/layerShapes.ts'
import { CheckpointError } from '../../util/errors.ts'
import { didYouMean } from '../../util/nearest.ts'
import { kindOf, type ModuleKind, missingSuffixes } from '../moduleShapes.ts'
import { type LoraConfig, type LoraStyle, layerNames } from './names.ts'
import { parseLoraKey } from './parseKey.ts'
import { foreignKey } from './refusals.ts'

/** The keys of one module's tensors. */
export interface LoraModuleKeys {
  readonly layer: LayerShape
  readonly kind: ModuleKind
  /** By the ends that kohya's tools and LyCORIS give them: `lora_down.weight`, `hada_w1_a`. */
  readonly weights: Readonly<Record<string, string>>
  /** Null: the file does not say. */
  readonly alpha: string | null
}

export interface ResolvedLoraKeys {
  /** The style of most modules. */
  readonly style: LoraStyle
  /** In the order of the model's layers. */
  readonly modules: readonly LoraModuleKeys[]
  /** Keys that belong to no layer of the model. Empty unless they were allowed. */
  readonly unused: readonly string[]
}

export interface ResolveOptions {
  /** Lists keys that belong to no layer in `unused` instead of refusing the file. Default: false. */
  readonly allowUnknown?: boolean
}

/**
 * Finds out which module each key of a LoRA file belongs to, in whatever style. Pure: looks at nothing but the keys.
 *
 * @param path of the file, for messages
 * @throws CheckpointError for a file of another method (DoRA, OFT, ...) or another family of models; for a key that belongs to
 * no layer, naming the nearest; for a module that lacks one of its weights; for two tensors that mean the same
 */
export function resolveLoraKeys(
  path: string,
  keys: readonly string[],
  config: LoraConfig,
  { allowUnknown = false }: ResolveOptions = {},
): ResolvedLoraKeys {
  refuseForeign(path, keys)
  const names = layerNames(config)
  const found = new Map<LayerShape, Map<string, string>>()
  const styles = new Map<LoraStyle, number>()
  const unused: string[] = []
  for (const key of keys) {
    const parsed = parseLoraKey(key)
    const named = parsed && names.get(parsed.name)
    if (!parsed || !named) {
      unused.push(key)
      continue
    }
    const tensors = found.get(named.layer) ?? new Map<string, string>()
    found.set(named.layer, tensors)
    const other = tensors.get(parsed.tensor)
    if (other !== undefined)
      throw new CheckpointError(path, `"${other}" and "${key}" are the same tensor of the layer ${named.layer.path}`)
    tensors.set(parsed.tensor, key)
    const style = parsed.oldSuffix && named.style === 'diffusers' ? 'diffusersOld' : named.style
    if (parsed.tensor !== 'alpha') styles.set(style, (styles.get(style) ?? 0) + 1)
  }
  if (unused.length > 0 && !allowUnknown) throw unknownKeys(path, unused, names.keys())
  const order = new Map([...names.values()].map(({ layer }, i) => [layer, i]))
  const modules = [...found]
    .sort(([a], [b]) => order.get(a)! - order.get(b)!)
    .map(([layer, tensors]) => moduleKeys(path, layer, tensors))
  if (modules.length === 0) throw new CheckpointError(path, 'expected a LoRA, LoHa or LoKr, found no weights of such')
  const style = [...styles].sort(([, a], [, b]) => b - a)[0]![0]
  return { style, modules, unused }
}

function moduleKeys(path: string, layer: LayerShape, tensors: ReadonlyMap<string, string>): LoraModuleKeys {
  const { alpha = null, ...weights } = Object.fromEntries(tensors)
  const present = new Set(Object.keys(weights))
  const kind = kindOf(present)
  const [first] = tensors.values()
  if (kind === null)
    throw new CheckpointError(path, `"${first}" stands alone: no weights of its layer found in the file`)
  const lacking = missingSuffixes(kind, present)
  if (lacking.length > 0)
    throw new CheckpointError(path, `"${first}" stands alone: ${lacking.join(' and ')} not found in the file`)
  const foreign = [...tensors].find(([suffix]) => suffix !== 'alpha' && kindOf([suffix]) !== kind)
  if (foreign !== undefined)
    throw new CheckpointError(
      path,
      `"${first}" and "${foreign[1]}" are of different kinds, for the one layer ${layer.path}`,
    )
  return { layer, kind, weights, alpha }
}

function refuseForeign(path: string, keys: readonly string[]): void {
  const foreign = keys.map((key) => ({ key, what: foreignKey(key) })).filter(({ what }) => what !== null)
  const { key, what } = foreign.find((entry) => entry.what!.kind === 'family') ?? foreign[0] ?? {}
  if (!what) return
  throw new CheckpointError(
    path,
    what.kind === 'family'
      ? `this LoRA is for ${what.name} (key "${key}"); expected one for Stable Diffusion 1.x or 2.x`
      : `holds ${what.name} (key "${key}"), which is not read; expected a plain LoRA, LoHa or LoKr`,
  )
}

function unknownKeys(path: string, unused: readonly string[], names: Iterable<string>): CheckpointError {
  const first = unused[0]!
  const known = [...names]
  // A typing error is looked for among names that begin alike: comparing with all of them costs seconds.
  const word = parseLoraKey(first)?.name ?? first
  const alike = known.filter((name) => name.slice(0, 8) === word.slice(0, 8))
  const more = unused.length === 1 ? '' : ` and ${unused.length - 1} more`
  const hint = didYouMean(word, alike)
  return new CheckpointError(path, `no layer of the model belongs to the key "${first}"${more}.${hint}`)
}
