import { readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { openTensorFile } from '../io/openTensorFile.ts'
import type { TensorFile } from '../io/tensorFile.ts'
import type { LayerShape } from '../models/stableDiffusion/layerShapes.ts'
import { CheckpointError } from '../util/errors.ts'
import { ADAPTER_METADATA_KEY, type AlphaSource, adapterAlphas } from './loraKeys/alphas.ts'
import type { LoraConfig, LoraStyle } from './loraKeys/names.ts'
import { type LoraModuleKeys, type ResolveOptions, resolveLoraKeys } from './loraKeys/resolve.ts'
import { fitModule, type ModuleKind, type ModuleShapes, rankOf, shapesOf } from './moduleShapes.ts'
import { placeInFile } from './place.ts'

/** A weight of a module that is read when it is asked for. */
export interface LoraMatrix {
  readonly shape: readonly number[]
  /** float32, row-major. */
  read(): Promise<Float32Array>
}

/** One module of a file of a network. */
export interface LoraFileModule {
  readonly kind: ModuleKind
  readonly layer: LayerShape
  /** Null for a LoKr of two whole matrices. */
  readonly rank: number | null
  /** The change of the layer's weight is alpha / rank times what the weights make. */
  readonly alpha: number
  /**
   * By the ends of kohya's and LyCORIS' keys: `lora_down.weight`, [rank, in] or, for a layer that is a convolution in files, [rank, in,
   * height, width]; `lora_up.weight`, [out, rank] or [out, rank, 1, 1].
   */
  readonly weights: Readonly<Record<string, LoraMatrix>>
}

/** The modules of a LoRA, wherever they come from. */
export interface LoraFile {
  readonly path: string
  readonly style: LoraStyle
  /** In the order of the model's layers, text encoder first. */
  readonly modules: readonly LoraFileModule[]
  readonly metadata: ReadonlyMap<string, string>
  /** Keys that belong to no layer of the model; empty unless `allowUnknown` was given. */
  readonly unused: readonly string[]
  /** Closes the file, if `readLora` opened it. Weights that were not read by then are lost. */
  close(): Promise<void>
}

/**
 * Opens a file of a LoRA, LoHa or LoKr, safetensors or PyTorch, in any style of keys and finds the layer of every module. Only the alphas
 * are read here, the weights later.
 *
 * A module without alpha has its rank as alpha, unless the file's `lora_adapter_metadata` or an `adapter_config.json` beside an
 * `adapter_model` file says otherwise. Projections may be stored as matrices or as 1x1 convolutions, whatever the model has.
 *
 * @param source a path, or an open file, which stays the caller's to close
 * @param config of the model it is for
 * @throws IoError when the file cannot be opened
 * @throws CheckpointError when it is damaged, belongs to another kind of network or model (named), has keys that belong to no
 * layer, or weights of other sizes
 */
export async function readLora(
  source: string | TensorFile,
  config: LoraConfig,
  options: ResolveOptions = {},
): Promise<LoraFile> {
  const file = typeof source === 'string' ? await openTensorFile(source) : source
  const close = async (): Promise<void> => {
    if (typeof source === 'string') await file.close()
  }
  try {
    const { style, modules: keys, unused } = resolveLoraKeys(file.path, file.names, config, options)
    const alphas = await alphaSource(file)
    const modules: LoraFileModule[] = []
    for (const entry of keys) modules.push(await readModule(file, entry, alphas))
    return { path: file.path, style, modules, metadata: file.metadata, unused, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Alphas by configuration: in the metadata, or beside a file that PEFT wrote. */
async function alphaSource(file: TensorFile): Promise<AlphaSource> {
  const text = file.metadata.get(ADAPTER_METADATA_KEY)
  if (text !== undefined) return adapterAlphas(file.path, text)
  if (!/^adapter_model\./.test(basename(file.path))) return () => null
  const path = join(dirname(file.path), 'adapter_config.json')
  const config = await readFile(path, 'utf8').catch(() => null)
  return config === null ? () => null : adapterAlphas(path, config)
}

async function readModule(file: TensorFile, keys: LoraModuleKeys, alphas: AlphaSource): Promise<LoraFileModule> {
  const { layer, kind, weights } = keys
  const shapes = Object.fromEntries(Object.entries(weights).map(([suffix, key]) => [suffix, file.info(key).shape]))
  const place = placeInFile(layer)
  const fit = fitModule(place, kind, shapes)
  if ('misfit' in fit)
    throw new CheckpointError(
      file.path,
      `"${Object.values(weights)[0]}" does not belong to the layer ${layer.path}: ${fit.misfit}.${otherVersion(keys, shapes)}`,
    )
  const rank = rankOf(fit.sizes)
  const matrices = Object.entries(shapesOf(place, fit.sizes)).map(([suffix, shape]) => {
    return [suffix, { shape, read: () => file.readFloat32(weights[suffix]!) }] as const
  })
  return {
    kind,
    layer,
    rank,
    alpha: await readAlpha(file, keys, rank ?? 1, alphas),
    weights: Object.fromEntries(matrices),
  }
}

async function readAlpha(file: TensorFile, keys: LoraModuleKeys, rank: number, alphas: AlphaSource): Promise<number> {
  if (keys.alpha === null) return alphas(keys.layer, rank) ?? rank
  const values = await file.readFloat32(keys.alpha)
  if (values.length !== 1 || !Number.isFinite(values[0]!))
    throw new CheckpointError(file.path, `"${keys.alpha}": expected one finite number, found ${values.join(', ')}`)
  // 0 stands for "as the rank" in the options of trainers and was saved as such.
  return values[0]! || rank
}

const contexts: Readonly<Record<number, string>> = {
  768: 'Stable Diffusion 1.x',
  1024: 'Stable Diffusion 2.x',
  2048: 'Stable Diffusion XL',
}

/** Says which model a LoRA is for, where the width of its text encoder tells. */
function otherVersion({ layer }: LoraModuleKeys, shapes: ModuleShapes): string {
  const tells = layer.part === 'textEncoder' || /attn2\.to_[kv]$/.test(layer.path)
  const version = tells ? contexts[shapes['lora_down.weight']?.[1] ?? shapes.hada_w1_b?.[1] ?? 0] : undefined
  return version === undefined ? '' : ` The file is for ${version}.`
}
