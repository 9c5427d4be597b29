import { noGrad } from '../autograd/tape.ts'
import type { Branch, BranchTerm, DropoutKey } from '../nn/branch.ts'
import type { FileLayout } from '../nn/weights.ts'
import { copyInto } from '../ops/accumulate.ts'
import { contiguous } from '../ops/contiguous.ts'
import { dropout } from '../ops/dropout.ts'
import { matmul } from '../ops/matmul.ts'
import { mul } from '../ops/mul.ts'
import { permute } from '../ops/permute.ts'
import { reshape } from '../ops/reshape.ts'
import { scale } from '../ops/scale.ts'
import { sum } from '../ops/sum.ts'
import { full, type RandomOptions, randomUniform, tensor } from '../tensor/create.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Chance } from './chance.ts'

/** A tensor of a branch as files have it. */
export interface StoredTensor {
  /** End of its key: `lora_down.weight`. */
  readonly suffix: string
  readonly tensor: Tensor
  readonly fileShape: readonly number[]
  /** Null: the elements lie in files as they do in memory. Else those of memory, seen with `shape`, in another order of axes. */
  readonly order: { readonly shape: readonly number[]; readonly axes: readonly number[] } | null
}

/** A tensor that an optimizer changes. */
export interface TrainedTensor {
  /** End of its name. */
  readonly suffix: string
  readonly tensor: Tensor
  readonly layout: FileLayout
}

/** Probabilities of leaving something out of a pass; null: none. */
export interface Dropouts {
  /** Of elements of x down^T. */
  readonly dropout: number | null
  readonly rankDropout: number | null
  /** Of whole modules. */
  readonly moduleDropout: number | null
}

/** What one branch draws. */
export class BranchChance {
  readonly elements: () => DropoutKey | null
  readonly ranks: () => DropoutKey | null
  readonly #chance: Chance
  readonly #name: string
  readonly #moduleDropout: number | null

  constructor(chance: Chance, name: string, { dropout, rankDropout, moduleDropout }: Dropouts) {
    const nothing = (): null => null
    this.elements = chance.masks(`${name}.dropout`, dropout) ?? nothing
    this.ranks = chance.masks(`${name}.rank_dropout`, rankDropout) ?? nothing
    this.#chance = chance
    this.#name = `${name}.module_dropout`
    this.#moduleDropout = moduleDropout
  }

  /** Whether the branch is left out of this pass. */
  skips(): boolean {
    const { training } = this.#chance
    return training && this.#moduleDropout !== null && this.#chance.numbers(this.#name).float() < this.#moduleDropout
  }
}

/** A branch made of tensors that are trained and saved: one module of a network. */
export abstract class NetworkBranch implements Branch {
  /** In the order of files. */
  abstract readonly stored: readonly StoredTensor[]
  abstract readonly trained: readonly TrainedTensor[]

  /** Of the passes that come, beside `scale`; the change of the weight is without it. */
  strength = 1

  /** @param scale factor of the change of the weight: multiplier * alpha / rank */
  constructor(public scale: number) {}

  abstract term(): BranchTerm | null

  /** The change of the layer's weight, `scale` included, in memory's layout and without anything drawn. */
  abstract delta(): Tensor

  /** float32, one number: the square of the norm of `delta`, as it would be with a `scale` of 1. */
  abstract square(): Tensor

  /** Values to start training from, a function of the seed and the module's name: the layer computes what it did without a branch. */
  abstract initialise(name: string, seed: number | bigint): void

  /** Starts or stops recording what happens to the trained tensors. */
  set trains(on: boolean) {
    for (const { tensor: t } of this.trained) t.requiresGrad = on
  }

  dispose(): void {
    for (const { tensor: t } of [...this.trained, ...this.stored]) t.dispose()
  }
}

/** The elements of a tensor in the order of files. The caller awaits the read before it changes the tensor. */
export async function readStored({ tensor: t, order }: StoredTensor): Promise<Float32Array> {
  if (order === null) return (await t.read()) as Float32Array
  const packed = noGrad(() =>
    scope(() => contiguous(permute(reshape(t, { shape: order.shape }), { axes: order.axes }))),
  )
  try {
    return (await packed.read()) as Float32Array
  } finally {
    packed.dispose()
  }
}

/** Gives a tensor the values of a file. */
export function writeStored({ tensor: t, order }: StoredTensor, values: Float32Array): void {
  scope(() => {
    const { device } = t
    if (order === null) return copyInto(t, tensor(values, t.shape, { device }))
    const { shape, axes } = order
    const inFile = tensor(
      values,
      axes.map((axis) => shape[axis]!),
      { device },
    )
    const back = axes.map((_, axis) => axes.indexOf(axis))
    copyInto(t, reshape(contiguous(permute(inFile, { axes: back })), { shape: t.shape }))
  })
}

/** A weight's change for one pass, times `strength`. Rows left out by chance leave the others as they are, as in LyCORIS. */
export function changeOf(whole: Tensor, strength: number, key: DropoutKey | null): Tensor {
  const delta = strength === 1 ? whole : scale(whole, { factor: strength })
  if (key === null) return delta
  const ones = full([delta.dim(0), ...delta.shape.slice(1).map(() => 1)], 1 - key.p, { device: delta.device })
  return mul(delta, dropout(ones, key))
}

/** Random values for a tensor: U(-bound, bound). */
export function fillUniform(t: Tensor, bound: number, options: Omit<RandomOptions, 'device'>): void {
  const { shape, device } = t
  scope(() => copyInto(t, randomUniform(shape, { ...options, low: -bound, high: bound, device })))
}

/** A convolution's [n, kh, kw, in], flat or not, as files have it: [n, in, kh, kw]. */
export function kernelOrder(shape: readonly number[]): NonNullable<StoredTensor['order']> {
  return { shape, axes: [0, 3, 1, 2] }
}

/**
 * The square of the norm of `up down`: `<up^T up, down down^T>` (both [rank, rank]) where that is less work than the product.
 * @param up [out, rank]
 * @param down [rank, columns]
 */
export function squareOfProduct(up: Tensor, down: Tensor): Tensor {
  const [out, rank, columns] = [up.dim(0), up.dim(1), down.dim(1)]
  if (rank * (out + columns) < out * columns)
    return sum(mul(matmul(up, up, { transposeA: true }), matmul(down, down, { transposeB: true })))
  return squareOf(matmul(up, down))
}

export function squareOf(x: Tensor): Tensor {
  return sum(mul(x, x))
}
