import type { BranchTerm } from '../nn/branch.ts'
import { streamOf } from '../nn/init.ts'
import { matmul } from '../ops/matmul.ts'
import { reshape } from '../ops/reshape.ts'
import { scale } from '../ops/scale.ts'
import { zeros } from '../tensor/create.ts'
import { keep } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { shapesOf } from './moduleShapes.ts'
import {
  type BranchChance,
  fillUniform,
  kernelOrder,
  NetworkBranch,
  type StoredTensor,
  squareOfProduct,
  type TrainedTensor,
} from './networkBranch.ts'
import { type BranchPlace, sizesOf } from './place.ts'

/** LoRA (Hu et al., "LoRA: low-rank adaptation of large language models", 2021): a change up * down of the weight. */
export class LowRankBranch extends NetworkBranch {
  /** [rank, in] or [rank, kh, kw, in], float32 */
  readonly down: Tensor
  /** [out, rank], float32 */
  readonly up: Tensor
  readonly stored: readonly StoredTensor[]
  readonly trained: readonly TrainedTensor[]
  readonly #place: BranchPlace
  readonly #chance: BranchChance | null

  /** Zeros. */
  constructor(place: BranchPlace, rank: number, factor: number, chance: BranchChance | null = null) {
    super(factor)
    const { out, inChannels, kernel } = sizesOf(place)
    const { device } = place
    this.#place = place
    this.#chance = chance
    this.down = keep(zeros([rank, ...kernel, inChannels], { device }))
    this.up = keep(zeros([out, rank], { device }))
    const [down, up] = ['lora_down.weight', 'lora_up.weight'] as const
    const shapes = shapesOf(place, { kind: 'lora', rank })
    const order = place.layout === 'conv' ? kernelOrder(this.down.shape) : null
    this.stored = [
      { suffix: down, tensor: this.down, fileShape: shapes[down]!, order },
      { suffix: up, tensor: this.up, fileShape: shapes[up]!, order: null },
    ]
    this.trained = [
      { suffix: down, tensor: this.down, layout: place.layout },
      { suffix: up, tensor: this.up, layout: place.layout === 'conv' ? 'conv1x1' : place.layout },
    ]
  }

  /** down: U(-1/sqrt(in), 1/sqrt(in)); up stays zero. */
  initialise(name: string, seed: number | bigint): void {
    const bound = 1 / Math.sqrt(this.down.size / this.down.dim(0))
    fillUniform(this.down, bound, { seed, stream: streamOf(`${name}.lora_down.weight`) })
  }

  term(): BranchTerm | null {
    if (this.#chance?.skips()) return null
    const { down, up } = this
    const [dropout, rankDropout] = [this.#chance?.elements() ?? null, this.#chance?.ranks() ?? null]
    return { kind: 'lowRank', down, up, scale: this.scale * this.strength, dropout, rankDropout }
  }

  delta(): Tensor {
    const product = matmul(scale(this.up, { factor: this.scale }), flat(this.down))
    return reshape(product, { shape: this.#place.shape })
  }

  square(): Tensor {
    return squareOfProduct(this.up, flat(this.down))
  }
}

/** [rank, columns] */
export function flat(down: Tensor): Tensor {
  return reshape(down, { shape: [down.dim(0), -1] })
}
