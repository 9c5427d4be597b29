/** Networks that train beside a frozen model: what training asks of any of them, and the base of those made of branches. */
import { noGrad } from '../autograd/tape.ts'
import type { LayerShape } from '../models/stableDiffusion/layerShapes.ts'
import type { FileLayout } from '../nn/weights.ts'
import { limitNorms } from '../ops/limitNorms.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { attachModules } from './attachModules.ts'
import type { Chance } from './chance.ts'
import type { KohyaLoraModule } from './kohyaLora.ts'
import type { LoraLayer, LoraModels } from './layers.ts'
import type { NetworkFacts } from './metadata.ts'
import { type NetworkBranch, readStored } from './networkBranch.ts'

export type NetworkPart = LayerShape['part']

/** A tensor to be trained, under its name in files where it is there. */
export interface NetworkParameter {
  readonly name: string
  readonly master: Tensor
  readonly layout: FileLayout
}

/**
 * A network that trains beside a frozen model. A class of one's own needs no more than this: it sets the `branch` of the layers it
 * changes and puts back what was there in `dispose`.
 */
export interface TrainableNetwork {
  /** What the files' metadata says of it. */
  readonly facts: NetworkFacts
  /** Names in files, `lora_unet_down_blocks_0_attentions_0_proj_in`, text encoder first. */
  readonly modules: readonly { readonly name: string; readonly part: NetworkPart }[]
  /** What trains, of one part or of both, in the order of the modules. Names differ from each other. */
  parameters(part?: NetworkPart): NetworkParameter[]
  /** Names the forward pass that comes next: whatever is drawn by chance must be a function of it. */
  setStep(pass: number): void
  /** Off: nothing is drawn by chance, as in previews and evaluation. */
  setTraining(on: boolean): void
  /** Strength in the passes that come, 1 at first; files are as trained. Without it data cannot ask for another strength. */
  setMultiplier?(multiplier: number): void
  /** The modules with their values, as the file writer takes them. */
  toKohya(): Promise<KohyaLoraModule[]>
  /**
   * Puts modules that were read back from a file in place of those that train, for a preview.
   * @returns a function that puts things back
   * @throws ArgumentError for modules that this network could not have written
   */
  attachSaved(modules: readonly KohyaLoraModule[]): () => void
  /** Takes over values that were read from a file: for `network_weights`. Without it such a start is refused. */
  load?(modules: readonly KohyaLoraModule[]): void
  /**
   * Called after every forward and backward pass, and after the update where one follows. Only enqueues.
   * @returns numbers for the log by their names there, once they are known; null: none
   */
  afterStep?(): Promise<Readonly<Record<string, number>>> | null
  /** Takes the network off its layers and frees it. */
  dispose(): void
}

/** What a class of one's own is told. */
export interface OwnNetworkOptions {
  /** `network_dim`, `network_alpha`, `network_dropout`: null, not given. */
  readonly rank: number | null
  readonly alpha: number | null
  readonly dropout: number | null
  /** `network_args` as they were given; the class checks them. */
  readonly args: Readonly<Record<string, string>>
  /** `scale_weight_norms` */
  readonly maxNorm: number | null
  readonly seed: number
}

/** A class that the trainer can be given in place of the name of a kind. */
export type NetworkClass = new (models: LoraModels, options: OwnNetworkOptions) => TrainableNetwork

/** One layer's share of a network. */
export interface NetworkModule<B extends NetworkBranch = NetworkBranch> {
  /** In files: `lora_unet_down_blocks_0_attentions_0_proj_in`. */
  readonly name: string
  readonly part: NetworkPart
  /** In the model. */
  readonly path: string
  readonly layer: LoraLayer
  readonly branch: B
  /** Null: two whole matrices of LoKr. */
  readonly rank: number | null
  /** Changes when weights of another alpha are loaded. */
  alpha: number
  /** Whether alpha was asked for and is no default. */
  readonly alphaGiven: boolean
  /** See `KohyaLoraModule`. */
  integerAlpha: boolean | undefined
  /** Saved, and not trained. */
  readonly frozen: boolean
}

export interface NetworkSettings {
  readonly facts: NetworkFacts
  readonly chance: Chance
  /** Limit for the norm of every module's change; null: none. */
  readonly maxNorm?: number | null
}

/** A network of branches, one for each module. They stay on their layers until `dispose`. */
export class BranchNetwork<B extends NetworkBranch = NetworkBranch> implements TrainableNetwork {
  readonly modules: readonly NetworkModule<B>[]
  readonly facts: NetworkFacts
  readonly #chance: Chance
  readonly #maxNorm: number | null

  /** @throws ArgumentError for a `maxNorm` that is not positive */
  constructor(modules: readonly NetworkModule<B>[], { facts, chance, maxNorm = null }: NetworkSettings) {
    if (maxNorm !== null && !(maxNorm > 0 && maxNorm < Number.POSITIVE_INFINITY))
      throw new ArgumentError(new.target.name, 'maxNorm', 'a number above 0', String(maxNorm))
    this.modules = modules
    this.facts = facts
    this.#chance = chance
    this.#maxNorm = maxNorm
    for (const { layer, branch, frozen } of modules) {
      branch.trains = !frozen
      layer.branch = branch
    }
  }

  parameters(part?: NetworkPart): NetworkParameter[] {
    return this.modules
      .filter((module) => !module.frozen && (part === undefined || module.part === part))
      .flatMap(({ name, branch }) =>
        branch.trained.map(({ suffix, tensor, layout }) => ({ name: `${name}.${suffix}`, master: tensor, layout })),
      )
  }

  setStep(pass: number): void {
    this.#chance.setPass(pass)
  }

  setTraining(on: boolean): void {
    this.#chance.training = on
  }

  setMultiplier(multiplier: number): void {
    for (const { branch } of this.modules) branch.strength = multiplier
  }

  toKohya(): Promise<KohyaLoraModule[]> {
    const reads = this.modules.map(async ({ name, branch, alpha, integerAlpha }): Promise<KohyaLoraModule> => {
      const weights = branch.stored.map(async (stored) => {
        return [stored.suffix, { shape: stored.fileShape, values: await readStored(stored) }] as const
      })
      const values = { name, alpha, weights: Object.fromEntries(await Promise.all(weights)) }
      return integerAlpha === undefined ? values : { ...values, integerAlpha }
    })
    return Promise.all(reads)
  }

  attachSaved(modules: readonly KohyaLoraModule[]): () => void {
    return attachModules('attachSaved', modules, new Map(this.modules.map(({ name, layer }) => [name, layer])))
  }

  /**
   * Scales modules whose change of the weight has a norm above `maxNorm` down to it, all factors of a module alike. (In kohya's tools:
   * scale_weight_norms.)
   */
  afterStep(): Promise<Readonly<Record<string, number>>> | null {
    const maxNorm = this.#maxNorm
    const trained = this.modules.filter(({ frozen }) => !frozen)
    if (maxNorm === null || trained.length === 0) return null
    const report = scope(() => {
      const products = trained.map(({ branch }) => ({
        factors: branch.stored.map(({ tensor }) => tensor),
        square: noGrad(() => scope(() => branch.square())),
        scale: branch.scale,
      }))
      return limitNorms(products, maxNorm)
    })
    return readReport(report)
  }

  dispose(): void {
    for (const { layer, branch } of this.modules) {
      if (layer.branch === branch) layer.branch = null
      branch.dispose()
    }
  }
}

async function readReport(report: Tensor): Promise<Readonly<Record<string, number>>> {
  try {
    const [scaled, mean, largest] = (await report.read()) as Float32Array
    return {
      'max_norm/keys_scaled': scaled!,
      'max_norm/average_key_norm': mean!,
      'max_norm/max_key_norm': largest!,
    }
  } finally {
    report.dispose()
  }
}
