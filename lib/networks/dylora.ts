import type { BranchTerm } from '../nn/branch.ts'
import { streamOf } from '../nn/init.ts'
import { contiguous } from '../ops/contiguous.ts'
import { matmul } from '../ops/matmul.ts'
import { permute } from '../ops/permute.ts'
import { reshape } from '../ops/reshape.ts'
import { scale } from '../ops/scale.ts'
import { slice } from '../ops/slice.ts'
import { trainRows } from '../ops/trainRows.ts'
import { zeros } from '../tensor/create.ts'
import { keep } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Chance } from './chance.ts'
import { flat } from './lowRank.ts'
import { shapesOf } from './moduleShapes.ts'
import {
  fillUniform,
  kernelOrder,
  NetworkBranch,
  type StoredTensor,
  squareOfProduct,
  type TrainedTensor,
} from './networkBranch.ts'
import { type BranchPlace, sizesOf } from './place.ts'

export interface DyLoraRank {
  readonly rank: number
  /** Ranks that train together; divides `rank`. */
  readonly unit: number
}

/**
 * DyLoRA (Valipour et al., 2022; as kohya's tools have it): in each pass one unit of the ranks trains, beside all the others. Afterwards
 * any number of units from the first on makes a LoRA of its own.
 */
export class DyLoraBranch extends NetworkBranch {
  readonly stored: readonly StoredTensor[]
  readonly trained: readonly TrainedTensor[]
  /** [rank, in] or [rank, kh, kw, in] */
  readonly #down: Tensor
  /** [rank, out]: the units are rows of it. */
  readonly #up: Tensor
  /** Views of `#down` and `#up`. */
  readonly #units: readonly { readonly start: number; readonly down: Tensor; readonly up: Tensor }[]
  readonly #place: BranchPlace
  readonly #chance: Chance
  readonly #name: string
  readonly #rank: DyLoraRank

  /** Zeros. */
  constructor(place: BranchPlace, size: DyLoraRank, factor: number, chance: Chance, name: string) {
    super(factor)
    const { rank, unit } = size
    const { out, inChannels, kernel } = sizesOf(place)
    const { device } = place
    this.#place = place
    this.#chance = chance
    this.#name = `${name}.rank`
    this.#rank = size
    this.#down = keep(zeros([rank, ...kernel, inChannels], { device }))
    this.#up = keep(zeros([rank, out], { device }))
    const rows = (whole: Tensor, start: number): Tensor => keep(slice(whole, { axis: 0, start, end: start + unit }))
    this.#units = Array.from({ length: rank / unit }, (_, i) => {
      const start = i * unit
      return { start, down: rows(this.#down, start), up: rows(this.#up, start) }
    })
    const shapes = shapesOf(place, { kind: 'lora', rank })
    const isConv = place.layout === 'conv'
    this.stored = [
      {
        suffix: 'lora_down.weight',
        tensor: this.#down,
        fileShape: shapes['lora_down.weight']!,
        order: isConv ? kernelOrder(this.#down.shape) : null,
      },
      {
        suffix: 'lora_up.weight',
        tensor: this.#up,
        fileShape: shapes['lora_up.weight']!,
        order: { shape: this.#up.shape, axes: [1, 0] },
      },
    ]
    this.trained = this.#units.flatMap(({ down, up }, i): TrainedTensor[] => [
      { suffix: `lora_A.${i}`, tensor: down, layout: isConv ? 'conv' : 'same' },
      { suffix: `lora_B.${i}`, tensor: up, layout: 'same' },
    ])
  }

  /** As {@link LowRankBranch}: `down` uniform, `up` zero. */
  initialise(name: string, seed: number | bigint): void {
    const bound = 1 / Math.sqrt(this.#down.size / this.#down.dim(0))
    fillUniform(this.#down, bound, { seed, stream: streamOf(`${name}.lora_down.weight`) })
  }

  /** In evaluation all ranks, as in the file. */
  term(): BranchTerm {
    const { rank, unit } = this.#rank
    const plain = { kind: 'lowRank', dropout: null, rankDropout: null } as const
    const factor = this.scale * this.strength
    if (!this.#chance.training)
      return { ...plain, down: this.#down, up: contiguous(permute(this.#up, { axes: [1, 0] })), scale: factor }
    const { start, down, up } = this.#units[this.#chance.numbers(this.#name).integer(rank / unit)]!
    return {
      ...plain,
      down: trainRows(this.#down, down, { start }),
      up: contiguous(permute(trainRows(this.#up, up, { start }), { axes: [1, 0] })),
      scale: factor * Math.sqrt(rank / (start + unit)),
    }
  }

  delta(): Tensor {
    const product = matmul(scale(this.#up, { factor: this.scale }), flat(this.#down), { transposeA: true })
    return reshape(product, { shape: this.#place.shape })
  }

  square(): Tensor {
    return squareOfProduct(contiguous(permute(this.#up, { axes: [1, 0] })), flat(this.#down))
  }
}
