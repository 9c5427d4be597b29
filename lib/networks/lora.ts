/**
 * LoRA (Hu et al., "LoRA: low-rank adaptation of large language models", 2021): a frozen projection W is trained as
 * W + alpha / rank * up * down. The modules, their names and their initial values are those of kohya's files.
 */
import type { ClipTextModel } from '../models/clip/textModel.ts'
import type { UNet } from '../models/stableDiffusion/unet.ts'
import { streamOf } from '../nn/init.ts'
import type { Linear, LoraBranch } from '../nn/linear.ts'
import { full, randomUniform, tensor } from '../tensor/create.ts'
import { keep } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { type KohyaLoraModule, kohyaName } from './kohyaLora.ts'

export interface LoraOptions {
  /** Default 4. */
  readonly rank?: number
  /** Default 1; 0 means the rank. The branch is scaled by alpha / rank. */
  readonly alpha?: number
  /** Probability of dropping an element of x down^T in training. Default none. */
  readonly dropout?: number | null
  /** For the initial values and the dropout masks. */
  readonly seed: number | bigint
}

export interface LoraModule {
  /** In files: `lora_unet_down_blocks_0_attentions_0_proj_in`. */
  readonly name: string
  readonly part: 'textEncoder' | 'unet'
  readonly layer: Linear
  readonly branch: LoraBranch
  readonly alpha: number
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
  readonly rank: number
  readonly alpha: number
  readonly dropout: number | null
  #step = 0n
  #training = true

  /**
   * @param models the parts to train; absent parts are left as they are
   * @throws ArgumentError for a rank below 1 or a dropout outside [0, 1)
   */
  constructor(models: { readonly textEncoder?: ClipTextModel; readonly unet?: UNet }, options: LoraOptions) {
    const { rank = 4, alpha = 1, dropout = null, seed } = options
    if (!Number.isInteger(rank) || rank < 1)
      throw new ArgumentError('LoraNetwork', 'rank', 'a whole number of 1 or more', String(rank))
    if (dropout !== null && !(dropout >= 0 && dropout < 1))
      throw new ArgumentError('LoraNetwork', 'dropout', 'in [0, 1)', String(dropout))
    this.rank = rank
    this.alpha = alpha || rank
    this.dropout = dropout || null
    const modules: LoraModule[] = []
    const attach = (part: LoraModule['part'], prefix: 'lora_te' | 'lora_unet', targets: [string, Linear][]): void => {
      for (const [path, layer] of targets) {
        const name = kohyaName(prefix, path)
        const branch = this.#branch(name, layer, seed)
        layer.lora = branch
        modules.push({ name, part, layer, branch, alpha: this.alpha })
      }
    }
    if (models.textEncoder) attach('textEncoder', 'lora_te', textEncoderTargets(models.textEncoder))
    if (models.unet) attach('unet', 'lora_unet', unetTargets(models.unet))
    this.modules = modules
  }

  /** down: U(-1/sqrt(in), 1/sqrt(in)); up: zeros, so that training starts from the model as it is. */
  #branch(name: string, layer: Linear, seed: number | bigint): LoraBranch {
    const [out, inFeatures] = layer.weight.shape as readonly [number, number]
    const bound = 1 / Math.sqrt(inFeatures)
    const stream = streamOf(`${name}.lora_down.weight`)
    const down = keep(randomUniform([this.rank, inFeatures], { seed, stream, low: -bound, high: bound }))
    const up = keep(full([out, this.rank], 0))
    down.requiresGrad = true
    up.requiresGrad = true
    const mask = streamOf(`${name}.dropout`)
    const key = BigInt.asUintN(64, BigInt(seed))
    const p = this.dropout
    const drop =
      p === null ? null : () => (this.#training ? { p, seed: key, stream: mask ^ (this.#step << 20n) } : null)
    return { down, up, scale: this.alpha / this.rank, dropout: drop }
  }

  /** Trainable tensors of one part, or of both, in module order, named as in files. */
  parameters(part?: LoraModule['part']): { readonly name: string; readonly master: Tensor }[] {
    return this.modules
      .filter((module) => part === undefined || module.part === part)
      .flatMap(({ name, branch }) => [
        { name: `${name}.lora_down.weight`, master: branch.down },
        { name: `${name}.lora_up.weight`, master: branch.up },
      ])
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
    const reads = this.modules.map(async ({ name, layer, branch, alpha }): Promise<KohyaLoraModule> => {
      const fileShape = (shape: readonly number[]) => (layer.conv1x1 ? [...shape, 1, 1] : shape)
      const [down, up] = await Promise.all([branch.down.read(), branch.up.read()])
      return {
        name,
        alpha,
        down: { shape: fileShape(branch.down.shape), values: down as Float32Array },
        up: { shape: fileShape(branch.up.shape), values: up as Float32Array },
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

/**
 * Attaches the modules of a file to models, for inference: previews are made from what was written.
 * @returns a function that takes them off again
 * @throws ArgumentError for a module whose layer does not exist or has another size
 */
export function attachLora(
  modules: readonly KohyaLoraModule[],
  models: { readonly textEncoder: ClipTextModel; readonly unet: UNet },
  multiplier = 1,
): () => void {
  const layers = new Map<string, Linear>()
  for (const [path, layer] of textEncoderTargets(models.textEncoder)) layers.set(kohyaName('lora_te', path), layer)
  for (const [path, layer] of unetTargets(models.unet)) layers.set(kohyaName('lora_unet', path), layer)
  const before = new Map<Linear, LoraBranch | null>()
  const made: Tensor[] = []
  const detach = (): void => {
    for (const [layer, branch] of before) layer.lora = branch
    for (const t of made) t.dispose()
  }
  try {
    for (const { name, alpha, down, up } of modules) {
      const layer = layers.get(name)
      const [out, inFeatures] = layer?.weight.shape ?? []
      const rank = down.shape[0]!
      if (!layer || down.shape[1] !== inFeatures || up.shape[0] !== out)
        throw new ArgumentError(
          'attachLora',
          name,
          layer ? `for a layer [${out}, ${inFeatures}]` : 'the name of a layer of this model',
          `down [${down.shape.join(', ')}] and up [${up.shape.join(', ')}]`,
        )
      const branch: LoraBranch = {
        down: keep(tensor(down.values, [rank, inFeatures!])),
        up: keep(tensor(up.values, [out!, rank])),
        scale: (multiplier * alpha) / rank,
        dropout: null,
      }
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
