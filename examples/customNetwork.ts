/** A network of one's own: (IA)^3 (Liu et al., 2022), which learns one factor for each output of the U-Net's keys and values. Use it in a
 * loop, or in a training by its path:
 *
 *   noisewright train-network ... --network_module ./customNetwork.js#FactorNetwork
 */
import {
  ArgumentError,
  type Branch,
  copyInto,
  type KohyaLoraModule,
  keep,
  type LoraLayer,
  type LoraModels,
  mul,
  type NetworkFacts,
  type NetworkParameter,
  type OwnNetworkOptions,
  scope,
  type Tensor,
  type TrainableNetwork,
  tensor,
  zeros,
} from 'noisewright'

interface FactorModule {
  readonly name: string
  readonly part: 'unet'
  readonly layer: LoraLayer
  /** [out, 1]: what is added to 1. */
  readonly factors: Tensor
}

const suffix = 'weight'

export class FactorNetwork implements TrainableNetwork {
  readonly facts: NetworkFacts
  readonly modules: readonly FactorModule[]

  constructor({ unet }: LoraModels, { rank, alpha, dropout, args }: OwnNetworkOptions) {
    if (unet === undefined) throw new Error('FactorNetwork trains the U-Net')
    if (Object.keys(args).length > 0) throw new Error(`FactorNetwork has no arguments, found ${Object.keys(args)}`)
    this.facts = { module: 'FactorNetwork', dim: rank, alpha, dropout }
    const layers = [...unet.registry.linears].filter(([path]) => /attn2\.to_[kv]$/.test(path))
    this.modules = layers.map(([path, layer]) => {
      const factors = keep(zeros([layer.weight.dim(0), 1]))
      factors.requiresGrad = true
      layer.branch = branchOf(layer, factors)
      return { name: `lora_unet_${path.replaceAll('.', '_')}`, part: 'unet', layer, factors }
    })
  }

  parameters(part?: 'unet' | 'textEncoder'): NetworkParameter[] {
    if (part === 'textEncoder') return []
    return this.modules.map(({ name, factors }) => ({ name: `${name}.${suffix}`, master: factors, layout: 'same' }))
  }

  setStep(): void {}

  setTraining(): void {}

  async toKohya(): Promise<KohyaLoraModule[]> {
    const reads = this.modules.map(async ({ name, factors }) => {
      const values = (await factors.read()) as Float32Array
      return { name, alpha: null, weights: { [suffix]: { shape: factors.shape, values } } }
    })
    return Promise.all(reads)
  }

  load(modules: readonly KohyaLoraModule[]): void {
    for (const { factors, values } of this.#pairs(modules))
      scope(() => copyInto(factors, tensor(values, factors.shape)))
  }

  attachSaved(modules: readonly KohyaLoraModule[]): () => void {
    const saved = this.#pairs(modules).map(({ layer, factors, values }) => {
      const read = keep(tensor(values, factors.shape))
      const own = layer.branch
      layer.branch = branchOf(layer, read)
      return { layer, own, read }
    })
    return () => {
      for (const { layer, own, read } of saved) {
        layer.branch = own
        read.dispose()
      }
    }
  }

  #pairs(modules: readonly KohyaLoraModule[]): (FactorModule & { readonly values: Float32Array })[] {
    return modules.map(({ name, weights }) => {
      const module = this.modules.find((own) => own.name === name)
      const values = weights[suffix]?.values
      if (module === undefined || values?.length !== module.factors.size)
        throw new ArgumentError('FactorNetwork', name, 'a module of this network', Object.keys(weights).join(', '))
      return { ...module, values }
    })
  }

  dispose(): void {
    for (const { layer, factors } of this.modules) {
      layer.branch = null
      factors.dispose()
    }
  }
}

/** The change of the weight: its rows times the factors. */
function branchOf({ weight }: LoraLayer, factors: Tensor): Branch {
  return { term: () => ({ kind: 'weight', delta: mul(weight, factors) }) }
}
