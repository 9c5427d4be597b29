/**
 * Where a model's parameters come from and what they are called. A module is built at a place in the tree of names and asks for its
 * parameters there, so code names are checkpoint keys, and a missing key names its whole path.
 */
import type { FloatDType } from '../tensor/dtype.ts'
import { keep } from '../tensor/scope.ts'
import type { Shape } from '../tensor/shape.ts'
import type { DeviceName, Tensor } from '../tensor/tensor.ts'
import type { Conv2d } from './conv2d.ts'
import type { Linear } from './linear.ts'
import { TransformedWeights } from './transformedWeights.ts'

/** How a parameter is laid out in files. In memory convolutions are [o, kh, kw, i] and projections [o, i]. */
export type FileLayout =
  /** As in memory. */
  | 'same'
  /** [o, i, kh, kw] in files. */
  | 'conv'
  /** A projection that files store as a 1x1 convolution, [o, i, 1, 1]. */
  | 'conv1x1'

/** What a fresh parameter holds when no file gives it. */
export type Init = 'zeros' | 'ones' | 'kaimingUniform' | 'normal'

export interface ParameterRequest {
  /** Full path: `down_blocks.0.resnets.0.norm1.weight`. */
  readonly name: string
  /** In memory. */
  readonly shape: Shape
  readonly layout: FileLayout
  readonly init: Init
  readonly dtype: FloatDType
}

/** Gives a parameter its values: a file, an initialiser, a formula. */
export type WeightSource = (request: ParameterRequest) => Tensor

export interface ParameterRecord extends ParameterRequest {
  readonly tensor: Tensor
}

/** Shape of a parameter in files, from its shape in memory. */
export function fileShape(shape: Shape, layout: FileLayout): Shape {
  const [o = 1, kh = 1, kw = 1, i = 1] = shape
  if (layout === 'conv') return [o, i, kh, kw]
  if (layout === 'conv1x1') return [...shape, 1, 1]
  return shape
}

/** All parameters of a model, and its projections and convolutions by name. */
export class Registry {
  readonly parameters = new Map<string, ParameterRecord>()
  /** Layers in definition order: what LoRA can be attached to. */
  readonly linears = new Map<string, Linear>()
  readonly convs = new Map<string, Conv2d>()
  /** Which frozen 3x3 convolutions trade memory for time; `budget` sets how much memory. */
  readonly transformedWeights = new TransformedWeights()
  #device: DeviceName = 'cpu'

  constructor(
    readonly source: WeightSource,
    /** Type the weights are stored and computed in. */
    readonly dtype: FloatDType,
  ) {}

  /** Where the parameters are, and what the model is given must be: that of the first, still known when they are disposed. */
  get device(): DeviceName {
    return this.#device
  }

  /** @internal Takes a parameter up. */
  add(record: ParameterRecord): void {
    if (this.parameters.size === 0) this.#device = record.tensor.device
    this.parameters.set(record.name, record)
  }

  dispose(): void {
    for (const { tensor } of this.parameters.values()) tensor.dispose()
  }
}

/** A place in the tree of names. */
export class Weights {
  constructor(
    readonly registry: Registry,
    readonly path = '',
  ) {}

  at(...names: readonly (string | number)[]): Weights {
    return new Weights(this.registry, [this.path, ...names].filter((part) => part !== '').join('.'))
  }

  parameter(name: string, shape: Shape, init: Init, layout: FileLayout = 'same'): Tensor {
    const request = { name: `${this.path}.${name}`, shape, layout, init, dtype: this.registry.dtype }
    const tensor = keep(this.registry.source(request))
    this.registry.add({ ...request, tensor })
    return tensor
  }
}

/** A network: parameters by their names in files. */
export interface Model {
  readonly registry: Registry
  dispose(): void
}
