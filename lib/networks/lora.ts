/**
 * LoRA (Hu et al., "LoRA: low-rank adaptation of large language models", 2021): a frozen projection W is trained as
 * W + alpha / rank * up * down. The modules, their names and their initial values are those of kohya's files.
 */
import type { ClipTextModel } from '../models/clip/textModel.ts'
import type { UNet } from '../models/stableDiffusion/unet.ts'
import { streamOf } from '../nn/init.ts'
import type { Linear, LoraBranch } from '../nn/linear.ts'
import type { FileLayout } from '../nn/weights.ts'
import { full, randomUniform } from '../tensor/create.ts'
import { keep } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { type BlockWeights, blockOf } from './blockWeights.ts'
import { type KohyaLoraModule, kohyaName } from './kohyaLora.ts'
import {
  branchOf,
  downToFile,
  fileLayouts,
  fileShapes,
  type LoraLayer,
  type LoraModels,
  layerFinder,
  layersOf,
} from './layers.ts'
import type { LoraFile } from './loraFile.ts'

export interface LoraOptions {
  /** Default 4. */
  readonly rank?: number
  /** Default 1; 0 means the rank. The branch is scaled by alpha / rank. */
  readonly alpha?: number
  /** Probability of dropping an element of x down^T in training. Default none. */
  readonly dropout?: number | null
  /** By block of the U-Net; blocks of weight 0 get no modules. Default: every block gets them. */
  readonly blockWeights?: BlockWeights | null
  /** For the initial values and the dropout masks. */
  readonly seed: number | bigint
}

export interface LoraModule {
  /** In files: `lora_unet_down_blocks_0_attentions_0_proj_in`. */
  readonly name: string
  readonly part: 'textEncoder' | 'unet'
  readonly layer: LoraLayer
  readonly branch: LoraBranch
  readonly rank: number
  readonly alpha: number
}

/** A tensor to be trained, under its name in files. */
export interface LoraParameter {
  readonly name: string
  readonly master: Tensor
  readonly layout: FileLayout
}

/** The layers of a text encoder that LoRA adapts: the projections of attention and MLP, in definition order. */
function textEncoderTargets(model: ClipTextModel): [string, Linear][] {
  return [...model.registry.linears].filter(([path]) => /\.(self_attn|mlp)\./.test(path))
}

/** The layers of a U-Net that LoRA adapts: every projection inside its transformers. */
function unetTargets(model: UNet): [string, Linear][] {
  return [...model.registry.linears].filter(([path]) => path.includes('.attentions.'))
}

/** The low-rank branches of one training run. They are attached to the layers until `detach`. */
export class LoraNetwork {
  readonly modules: readonly LoraModule[]
  readonly dropout: number | null
  readonly #seed: bigint
  #step = 0n
  #training = true

  /**
   * @param models the parts to train; absent parts are left as they are
   * @throws ArgumentError for a rank below 1 or a dropout outside [0, 1)
   */
  constructor(models: LoraModels, options: LoraOptions)
  /** Use {@link LoraNetwork.fromFile}. */
  constructor(models: readonly LoraModule[], options: Omit<LoraOptions, 'rank' | 'alpha'>)
  constructor(models: LoraModels | readonly LoraModule[], options: LoraOptions) {
    const { rank = 4, alpha = 1, dropout = null, blockWeights = null, seed } = options
    if (!Number.isInteger(rank) || rank < 1)
      throw new ArgumentError('LoraNetwork', 'rank', 'a whole number of 1 or more', String(rank))
    if (dropout !== null && !(dropout >= 0 && dropout < 1))
      throw new ArgumentError('LoraNetwork', 'dropout', 'in [0, 1)', String(dropout))
    this.dropout = dropout || null
    this.#seed = BigInt.asUintN(64, BigInt(seed))
    this.modules = isList(models) ? models : freshModules(models, { rank, alpha: alpha || rank, seed, blockWeights })
    for (const { name, layer, branch } of this.modules) {
      branch.down.requiresGrad = true
      branch.up.requiresGrad = true
      branch.dropout = this.#dropoutOf(name)
      layer.lora = branch
    }
  }

  /**
   * A network that goes on from a file: its modules, each with its own rank and alpha, 3x3 convolutions too. The scale of every
   * branch follows from the file's alpha, so what is trained is what will be saved. Modules that the file lacks are not made.
   *
   * @param models the parts to train; the file's modules for absent parts are left out
   * @throws ArgumentError when the models are not those that the file was opened for
   */
  static async fromFile(
    models: LoraModels,
    lora: Pick<LoraFile, 'modules'>,
    options: Omit<LoraOptions, 'rank' | 'alpha'>,
  ): Promise<LoraNetwork> {
    const find = layerFinder('LoraNetwork', models)
    const modules: LoraModule[] = []
    try {
      for (const { layer: place, rank, alpha, down, up } of lora.modules) {
        const layer = find(place)
        if (layer === null) continue
        const values = { rank, down: await down.read(), up: await up.read(), scale: alpha / rank }
        const name = kohyaName(place.part === 'unet' ? 'lora_unet' : 'lora_te', place.path)
        modules.push({ name, part: place.part, layer, branch: branchOf(layer, values), rank, alpha })
      }
      return new LoraNetwork(modules, options)
    } catch (error) {
      for (const { branch } of modules) {
        branch.down.dispose()
        branch.up.dispose()
      }
      throw error
    }
  }

  #dropoutOf(name: string): LoraBranch['dropout'] {
    const p = this.dropout
    if (p === null) return null
    const mask = streamOf(`${name}.dropout`)
    return () => (this.#training ? { p, seed: this.#seed, stream: mask ^ (this.#step << 20n) } : null)
  }

  /** Trainable tensors of one part, or of both, in module order, named and laid out as in files. */
  parameters(part?: LoraModule['part']): LoraParameter[] {
    return this.modules
      .filter((module) => part === undefined || module.part === part)
      .flatMap(({ name, layer, branch }): LoraParameter[] => {
        const layouts = fileLayouts(layer)
        return [
          { name: `${name}.lora_down.weight`, master: branch.down, layout: layouts.down },
          { name: `${name}.lora_up.weight`, master: branch.up, layout: layouts.up },
        ]
      })
  }

  /** Names the forward pass that comes next: dropout masks are a function of it. */
  setStep(step: number): void {
    this.#step = BigInt(step)
  }

  /** Dropout on or off; previews and evaluation run with it off. */
  setTraining(on: boolean): void {
    this.#training = on
  }

  /** The modules with their values, as the file writer takes them: weights of 1x1 convolutions are four-dimensional there. */
  async toKohya(): Promise<KohyaLoraModule[]> {
    const reads = this.modules.map(async ({ name, layer, branch, rank, alpha }): Promise<KohyaLoraModule> => {
      const shapes = fileShapes(layer, rank)
      const [down, up] = await Promise.all([downToFile(branch.down, layer), branch.up.read()])
      return {
        name,
        alpha,
        down: { shape: shapes.down, values: down },
        up: { shape: shapes.up, values: up as Float32Array },
      }
    })
    return Promise.all(reads)
  }

  /** Takes the branches off their layers and frees them. */
  dispose(): void {
    for (const { layer, branch } of this.modules) {
      if (layer.lora === branch) layer.lora = null
      branch.down.dispose()
      branch.up.dispose()
    }
  }
}

function isList(models: LoraModels | readonly LoraModule[]): models is readonly LoraModule[] {
  return Array.isArray(models)
}

/** down: U(-1/sqrt(in), 1/sqrt(in)); up: zeros, so that training starts from the model as it is. */
function freshModules(
  models: LoraModels,
  { rank, alpha, seed, blockWeights }: Required<Pick<LoraOptions, 'rank' | 'alpha' | 'seed' | 'blockWeights'>>,
): LoraModule[] {
  const module = (part: LoraModule['part'], path: string, layer: Linear): LoraModule => {
    const name = kohyaName(part === 'unet' ? 'lora_unet' : 'lora_te', path)
    const [out, inFeatures] = layer.weight.shape as readonly [number, number]
    const bound = 1 / Math.sqrt(inFeatures)
    const stream = streamOf(`${name}.lora_down.weight`)
    const down = keep(randomUniform([rank, inFeatures], { seed, stream, low: -bound, high: bound }))
    const up = keep(full([out, rank], 0))
    return { name, part, layer, branch: { down, up, scale: alpha / rank, dropout: null }, rank, alpha }
  }
  const { textEncoder, unet } = models
  const weightOf = (path: string): number => blockWeights?.[blockOf(kohyaName('lora_unet', path)) ?? 0] ?? 1
  return [
    ...(textEncoder ? textEncoderTargets(textEncoder).map((target) => module('textEncoder', ...target)) : []),
    ...(unet
      ? unetTargets(unet)
          .filter(([path]) => weightOf(path) > 0)
          .map((target) => module('unet', ...target))
      : []),
  ]
}

/**
 * Attaches the modules of a kohya file in memory to models, for inference: previews are made from what was written.
 * @returns a function that takes them off again
 * @throws ArgumentError for a module whose layer does not exist or has another size
 */
export function attachLora(
  modules: readonly KohyaLoraModule[],
  models: { readonly textEncoder: ClipTextModel; readonly unet: UNet },
  multiplier = 1,
): () => void {
  const layers = new Map<string, LoraLayer>()
  for (const [path, layer] of layersOf(models.textEncoder)) layers.set(kohyaName('lora_te', path), layer)
  for (const [path, layer] of layersOf(models.unet)) layers.set(kohyaName('lora_unet', path), layer)
  const before = new Map<LoraLayer, LoraBranch | null>()
  const made: Tensor[] = []
  const detach = (): void => {
    for (const [layer, branch] of before) layer.lora = branch
    for (const t of made) t.dispose()
  }
  try {
    for (const { name, alpha, down, up } of modules) {
      const layer = layers.get(name)
      const rank = down.shape[0]!
      const [out, inFeatures] = layer ? [layer.weight.dim(0), layer.weight.dim(-1)] : []
      const elements = layer ? fileShapes(layer, rank).down.reduce((count, size) => count * size, 1) : 0
      if (!layer || down.shape[1] !== inFeatures || up.shape[0] !== out || down.values.length !== elements)
        throw new ArgumentError(
          'attachLora',
          name,
          layer ? `for a layer [${out}, ${inFeatures}]` : 'the name of a layer of this model',
          `down [${down.shape.join(', ')}] and up [${up.shape.join(', ')}]`,
        )
      const values = { rank, down: down.values, up: up.values, scale: (multiplier * alpha) / rank }
      const branch = branchOf(layer, values)
      made.push(branch.down, branch.up)
      before.set(layer, layer.lora)
      layer.lora = branch
    }
  } catch (error) {
    detach()
    throw error
  }
  return detach
}
