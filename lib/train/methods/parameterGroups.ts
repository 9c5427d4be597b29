/** The parameters of a network in groups that share a learning rate. */
import { type BlockWeights, blockOf } from '../../networks/blockWeights.ts'
import type { TrainableNetwork } from '../../networks/network.ts'
import type { OptimizerGroup } from '../../optim/customOptimizer.ts'

/** How many times the rate of lora_down that lora_up, or lora_B of DyLoRA, has (Hayou et al., "LoRA+", 2024). */
export interface LoraPlusRatios {
  readonly unet: number
  readonly textEncoder: number
}

export interface GroupRates {
  readonly learningRate: number
  /** Null: `learningRate`. */
  readonly unetLearningRate: number | null
  /** Null: `learningRate`. */
  readonly textEncoderLearningRate: number | null
  /** Null: every block has the U-Net's rate. */
  readonly blockWeights?: BlockWeights | null
  /** Null: one rate for both matrices. */
  readonly loraPlus?: LoraPlusRatios | null
}

/**
 * The groups, text encoder first, then the U-Net, or its blocks in the order in which modules of them come. They are named as logs
 * name them: `textencoder`, `unet`, `unet_block12`, and with LoRA+ `unet plus`. Parts without parameters are left out.
 */
export function loraParameterGroups(
  network: Pick<TrainableNetwork, 'parameters'>,
  rates: GroupRates,
): OptimizerGroup[] {
  const { learningRate, blockWeights = null, loraPlus = null } = rates
  const textEncoder: OptimizerGroup = {
    name: 'textencoder',
    params: network.parameters('textEncoder'),
    learningRate: rates.textEncoderLearningRate ?? learningRate,
  }
  const unet: OptimizerGroup = {
    name: 'unet',
    params: network.parameters('unet'),
    learningRate: rates.unetLearningRate ?? learningRate,
  }
  const groups = [
    ...splitPlus(textEncoder, loraPlus?.textEncoder ?? 1),
    ...byBlock(unet, blockWeights).flatMap((group) => splitPlus(group, loraPlus?.unet ?? 1)),
  ]
  return groups.filter(({ params }) => params.length > 0)
}

function byBlock(group: OptimizerGroup, weights: BlockWeights | null): OptimizerGroup[] {
  if (weights === null) return [group]
  const blocks = new Map<number, OptimizerGroup['params'][number][]>()
  for (const parameter of group.params) {
    const block = blockOf(parameter.name) ?? 0
    const params = blocks.get(block)
    if (params) params.push(parameter)
    else blocks.set(block, [parameter])
  }
  return Array.from(blocks, ([block, params]) => ({
    name: `unet_block${block}`,
    params,
    learningRate: group.learningRate * weights[block]!,
  }))
}

function splitPlus(group: OptimizerGroup, ratio: number): OptimizerGroup[] {
  if (ratio === 1) return [group]
  const isUp = ({ name }: { readonly name: string }): boolean => /\.lora_(up\.weight|B\.\d+)$/.test(name)
  return [
    { ...group, params: group.params.filter((parameter) => !isUp(parameter)) },
    {
      name: `${group.name} plus`,
      params: group.params.filter(isUp),
      learningRate: group.learningRate * ratio,
    },
  ]
}
