/** Networks of every built-in kind. */
import type { LoraModels } from './layers.ts'
import { DyLoraNetwork, type DyLoraOptions, LoraNetwork, type LoraOptions, type NetworkDropouts } from './lora.ts'
import { LoconNetwork, LohaNetwork, LokrNetwork, type LokrOptions, type LycorisOptions } from './lycoris.ts'
import type { BranchNetwork } from './network.ts'

/** A kind of network and what it is told. */
export type NetworkOptions =
  | ({ readonly kind: 'lora' } & LoraOptions)
  | ({ readonly kind: 'dylora' } & DyLoraOptions)
  | ({ readonly kind: 'locon' } & LycorisOptions & Pick<NetworkDropouts, 'dropout'>)
  | ({ readonly kind: 'loha' } & LycorisOptions)
  | ({ readonly kind: 'lokr' } & LokrOptions)

type Own<Options> = Options extends unknown
  ? Omit<Options, 'rank' | 'alpha' | 'blockWeights' | 'maxNorm' | 'seed'>
  : never

/** A kind of network and what it alone is told, without the ranks, alphas and rates that all kinds have. */
export type NetworkChoice = Own<NetworkOptions>

/**
 * A new network. It changes nothing until it has been trained.
 * @param models the parts to train; absent parts are left as they are
 * @throws ArgumentError for options that make no network
 */
export function createNetwork(models: LoraModels, options: NetworkOptions): BranchNetwork {
  switch (options.kind) {
    case 'lora':
      return new LoraNetwork(models, options)
    case 'dylora':
      return new DyLoraNetwork(models, options)
    case 'locon':
      return new LoconNetwork(models, options)
    case 'loha':
      return new LohaNetwork(models, options)
    case 'lokr':
      return new LokrNetwork(models, options)
    default:
      return options satisfies never
  }
}
