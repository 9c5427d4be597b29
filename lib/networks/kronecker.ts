import type { BranchTerm } from '../nn/branch.ts'
import { streamOf } from '../nn/init.ts'
import { contiguous } from '../ops/contiguous.ts'
import { matmul } from '../ops/matmul.ts'
import { mul } from '../ops/mul.ts'
import { permute } from '../ops/permute.ts'
import { reshape } from '../ops/reshape.ts'
import { scale } from '../ops/scale.ts'
import { zeros } from '../tensor/create.ts'
import { keep } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type KroneckerSizes, shapesOf } from './moduleShapes.ts'
import {
  type BranchChance,
  changeOf,
  fillUniform,
  kernelOrder,
  NetworkBranch,
  type StoredTensor,
  squareOf,
  squareOfProduct,
  type TrainedTensor,
} from './networkBranch.ts'
import { type BranchPlace, sizesOf } from './place.ts'

export interface KroneckerOptions {
  readonly rank: number
  /** What each side of the weight is divided by, where it can be. Default -1: into parts as equal as possible. */
  readonly factor?: number
  /** Make a product of the smaller matrix too. Default false. */
  readonly decomposeBoth?: boolean
  /** Both matrices whole, whatever the rank. Default false. */
  readonly fullMatrix?: boolean
  /** The larger part of the outputs in w1. Default false. */
  readonly unbalanced?: boolean
}

/**
 * A size as a product of two, the smaller first: `factor` and the rest where it divides the size, else the two that are nearest to each
 * other among those whose smaller one is at most `factor`.
 */
export function splitSize(size: number, factor = -1): readonly [number, number] {
  if (factor > 0 && size % factor === 0) return [Math.min(factor, size / factor), Math.max(factor, size / factor)]
  let small = 1
  const limit = Math.min(Math.sqrt(size), factor < 0 ? size : factor)
  for (let divisor = 2; divisor <= limit; divisor++) if (size % divisor === 0) small = divisor
  return [small, size / small]
}

/** The sizes that LyCORIS gives a LoKr module: a matrix is whole where a product of two would hardly be smaller. */
export function kroneckerSizes(
  place: BranchPlace,
  { rank, factor = -1, decomposeBoth = false, fullMatrix = false, unbalanced = false }: KroneckerOptions,
): KroneckerSizes {
  const { out, inChannels } = sizesOf(place)
  const [m, n] = splitSize(inChannels, factor)
  const [small, large] = splitSize(out, factor)
  const [l, k] = unbalanced ? [large, small] : [small, large]
  const isSmall = (a: number, b: number): boolean => !fullMatrix && rank < Math.max(a, b) / 2
  return { l, m, k, n, rank1: decomposeBoth && isSmall(l, m) ? rank : null, rank2: isSmall(k, n) ? rank : null }
}

/** A factor of the product, whole or as two matrices, the second of which has the columns. */
type Factor = readonly Tensor[]

/** LoKr (LyCORIS; Yeh et al., 2024): the change of the weight is the Kronecker product w1 ⊗ w2. */
export class KroneckerBranch extends NetworkBranch {
  readonly stored: readonly StoredTensor[]
  readonly trained: readonly TrainedTensor[]
  readonly #sizes: KroneckerSizes
  readonly #w1: Factor
  readonly #w2: Factor
  readonly #place: BranchPlace
  readonly #chance: BranchChance | null

  /** Zeros. */
  constructor(place: BranchPlace, sizes: KroneckerSizes, scaleOfProduct: number, chance: BranchChance | null = null) {
    super(scaleOfProduct)
    const { kernel } = sizesOf(place)
    const { k, n } = sizes
    this.#place = place
    this.#chance = chance
    this.#sizes = sizes
    const whole = [k, ...kernel, n]
    this.stored = Object.entries(shapesOf(place, { kind: 'lokr', ...sizes })).map(([suffix, fileShape]) => {
      const withKernel = place.layout === 'conv' && /^lokr_w2(_b)?$/.test(suffix)
      const shape = suffix === 'lokr_w2' ? whole : fileShape
      const order = withKernel ? kernelOrder(suffix === 'lokr_w2' ? whole : [fileShape[0]!, ...kernel, n]) : null
      return { suffix, tensor: keep(zeros(shape, { device: place.device })), fileShape, order }
    })
    const factor = (name: string): Tensor[] =>
      this.stored.filter(({ suffix }) => suffix.startsWith(name)).map(({ tensor }) => tensor)
    this.#w1 = factor('lokr_w1')
    this.#w2 = factor('lokr_w2')
    this.trained = this.stored.map(({ suffix, tensor }) => {
      return { suffix, tensor, layout: suffix === 'lokr_w2' ? place.layout : 'same' }
    })
  }

  /** U(-1/sqrt(columns), 1/sqrt(columns)) for every matrix but w2 or w2_b, which stays zero. */
  initialise(name: string, seed: number | bigint): void {
    const zero = this.#w2.at(-1)
    for (const { suffix, tensor } of this.stored)
      if (tensor !== zero)
        fillUniform(tensor, 1 / Math.sqrt(tensor.dim(-1)), { seed, stream: streamOf(`${name}.${suffix}`) })
  }

  term(): BranchTerm | null {
    if (this.#chance?.skips()) return null
    return { kind: 'weight', delta: changeOf(this.delta(), this.strength, this.#chance?.ranks() ?? null) }
  }

  delta(): Tensor {
    const { l, m, n } = this.#sizes
    const w1 = reshape(scale(product(this.#w1), { factor: this.scale }), { shape: [l * m, 1] })
    const w2 = reshape(product(this.#w2), { shape: [1, -1] })
    const outer = reshape(matmul(w1, w2), { shape: [l, m, -1, n] })
    return reshape(contiguous(permute(outer, { axes: [0, 2, 1, 3] })), { shape: this.#place.shape })
  }

  /** The norm of a Kronecker product is the product of the norms. */
  square(): Tensor {
    return mul(squareOfFactor(this.#w1), squareOfFactor(this.#w2))
  }
}

function product([a, b]: Factor): Tensor {
  return b === undefined ? a! : matmul(a!, b)
}

function squareOfFactor([a, b]: Factor): Tensor {
  return b === undefined ? squareOf(a!) : squareOfProduct(a!, b)
}
