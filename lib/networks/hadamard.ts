import { recompute } from '../autograd/recompute.ts'
import type { BranchTerm } from '../nn/branch.ts'
import { streamOf } from '../nn/init.ts'
import { copyInto } from '../ops/accumulate.ts'
import { matmul } from '../ops/matmul.ts'
import { mul } from '../ops/mul.ts'
import { reshape } from '../ops/reshape.ts'
import { scale } from '../ops/scale.ts'
import { randomNormal, zeros } from '../tensor/create.ts'
import { keep, scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { shapesOf } from './moduleShapes.ts'
import {
  type BranchChance,
  changeOf,
  kernelOrder,
  NetworkBranch,
  type StoredTensor,
  squareOf,
  type TrainedTensor,
} from './networkBranch.ts'
import { type BranchPlace, sizesOf } from './place.ts'

/**
 * LoHa (Hyeon-Woo et al., "FedPara", 2022; as LyCORIS has it): a change (w1_a w1_b) ∘ (w2_a w2_b) of the weight, element by element, whose
 * rank may be the square of that of its factors.
 */
export class HadamardBranch extends NetworkBranch {
  readonly stored: readonly StoredTensor[]
  readonly trained: readonly TrainedTensor[]
  readonly #factors: readonly [w1a: Tensor, w1b: Tensor, w2a: Tensor, w2b: Tensor]
  readonly #place: BranchPlace
  readonly #chance: BranchChance | null

  /** Zeros. */
  constructor(place: BranchPlace, rank: number, factor: number, chance: BranchChance | null = null) {
    super(factor)
    const { inChannels, kernel } = sizesOf(place)
    const shapes = Object.entries(shapesOf(place, { kind: 'loha', rank }))
    const [w1a, w1b, w2a, w2b] = shapes.map(([, shape]) => keep(zeros(shape, { device: place.device })))
    this.#factors = [w1a!, w1b!, w2a!, w2b!]
    this.#place = place
    this.#chance = chance
    // The columns of a kernel are flat in files too, but in another order.
    const order = place.layout === 'conv' ? kernelOrder([rank, ...kernel, inChannels]) : null
    this.stored = shapes.map(([suffix, fileShape], i) => {
      return { suffix, tensor: this.#factors[i]!, fileShape, order: suffix.endsWith('_b') ? order : null }
    })
    this.trained = this.stored.map(({ suffix, tensor }) => ({ suffix, tensor, layout: 'same' }))
  }

  /** w1_a: N(0, 0.1); w1_b and w2_b: N(0, 1); w2_a stays zero. */
  initialise(name: string, seed: number | bigint): void {
    const [w1a, w1b, , w2b] = this.#factors
    for (const [tensor, suffix, deviation] of [
      [w1a, 'hada_w1_a', 0.1],
      [w1b, 'hada_w1_b', 1],
      [w2b, 'hada_w2_b', 1],
    ] as const)
      scope(() => {
        const { shape, device } = tensor
        const values = randomNormal(shape, { seed, stream: streamOf(`${name}.${suffix}`), device })
        copyInto(tensor, deviation === 1 ? values : scale(values, { factor: deviation }))
      })
  }

  term(): BranchTerm | null {
    if (this.#chance?.skips()) return null
    return { kind: 'weight', delta: changeOf(this.delta(), this.strength, this.#chance?.ranks() ?? null) }
  }

  delta(): Tensor {
    return reshape(this.#product(this.scale), { shape: this.#place.shape })
  }

  square(): Tensor {
    return squareOf(this.#product(1))
  }

  /** [out, columns]. For the backward pass only the factors are kept: the two products are made again. */
  #product(factor: number): Tensor {
    const body = ([w1a, w1b, w2a, w2b]: readonly (Tensor | null)[]): Tensor =>
      mul(matmul(scale(w1a!, { factor }), w1b!), matmul(w2a!, w2b!))
    if (this.#factors.some(({ tracked }) => tracked)) return recompute(this.#factors, (...factors) => body(factors))
    return scope(() => body(this.#factors))
  }
}
