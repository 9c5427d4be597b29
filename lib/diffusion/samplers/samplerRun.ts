import { noGrad } from '../../autograd/tape.ts'
import { streamOf } from '../../nn/init.ts'
import { add } from '../../ops/add.ts'
import { scale } from '../../ops/scale.ts'
import { randomNormal } from '../../tensor/create.ts'
import { keep, scope } from '../../tensor/scope.ts'
import { formatShape, sameShape } from '../../tensor/shape.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ArgumentError } from '../../util/errors.ts'
import type { SamplerPlan, Source, Term } from './course.ts'

export interface SamplerRunOptions {
  /** Of the noise that ancestral samplers add: a function of the seed and of the call's number. */
  readonly seed: number | bigint
}

/**
 * One drawing by a sampler. It owns its tensors until it is disposed, and records nothing for gradients.
 *
 * ```ts
 * while (!run.done) scope(() => run.proceed(model(run.input(), run.time)))
 * ```
 */
export class SamplerRun {
  readonly #plan: SamplerPlan
  readonly #seed: number | bigint
  /** Latents and outputs that are still needed, by source and call. */
  readonly #held = new Map<string, Tensor>()
  /** Call after which one of them is not needed any more. */
  readonly #lastUse = new Map<string, number>()
  #index = 0
  #latents: Tensor

  /** @param noise standard normal, float32, of the latents' shape; stays the caller's */
  constructor(plan: SamplerPlan, noise: Tensor, { seed }: SamplerRunOptions) {
    if (noise.dtype !== 'float32') throw new ArgumentError('SamplerRun', 'noise', 'float32', noise.dtype)
    this.#plan = plan
    this.#seed = seed
    plan.calls.forEach(({ next }, index) => {
      for (const { source, call } of next) this.#lastUse.set(keyOf(source, call), index)
    })
    this.#latents = noGrad(() => keep(scale(noise, { factor: plan.initialSigma })))
  }

  /** Whether no more calls of the model are needed. */
  get done(): boolean {
    return this.#index === this.#plan.calls.length
  }

  /** Diffusion time of the next call of the model, 0 to 999; may be a fraction. */
  get time(): number {
    return this.#next('time').time
  }

  /** The model's input of the next call: a new tensor, which is the caller's. */
  input(): Tensor {
    return noGrad(() => scale(this.#latents, { factor: this.#next('input').inputScale }))
  }

  /** The latents as they are now; the result, once all calls are done. They stay the run's. */
  get latents(): Tensor {
    return this.#latents
  }

  /**
   * Goes on with the model's output for `input` and `time`.
   * @param output float32, of the latents' shape; stays the caller's
   */
  proceed(output: Tensor): void {
    const { next } = this.#next('proceed')
    const { shape } = this.#latents
    if (output.dtype !== 'float32' || !sameShape(output.shape, shape)) {
      const received = `${output.dtype} ${formatShape(output.shape)}`
      throw new ArgumentError('SamplerRun', 'output', `float32 ${formatShape(shape)}`, received)
    }
    const latents = noGrad(() => scope(() => this.#sum(next, output)))
    if (this.#isNeededLater('output')) {
      this.#held.set(
        keyOf('output', this.#index),
        noGrad(() => keep(scale(output, { factor: 1 }))),
      )
    }
    if (this.#isNeededLater('latents')) this.#held.set(keyOf('latents', this.#index), this.#latents)
    else this.#latents.dispose()
    for (const [key, tensor] of this.#held) {
      if (this.#lastUse.get(key)! > this.#index) continue
      tensor.dispose()
      this.#held.delete(key)
    }
    this.#latents = keep(latents)
    this.#index++
  }

  dispose(): void {
    this.#latents.dispose()
    for (const tensor of this.#held.values()) tensor.dispose()
    this.#held.clear()
  }

  #next(asked: string): SamplerPlan['calls'][number] {
    const call = this.#plan.calls[this.#index]
    if (call !== undefined) return call
    throw new ArgumentError('SamplerRun', asked, 'asked for before the run is done', 'a run that is done')
  }

  #isNeededLater(source: Source): boolean {
    return (this.#lastUse.get(keyOf(source, this.#index)) ?? -1) > this.#index
  }

  #sum(terms: readonly Term[], output: Tensor): Tensor {
    const tensorOf = ({ source, call }: Term): Tensor => {
      if (source === 'noise') return this.#noise(call)
      if (call < this.#index) return this.#held.get(keyOf(source, call))!
      return source === 'latents' ? this.#latents : output
    }
    return terms.map((term) => scale(tensorOf(term), { factor: term.factor })).reduce((sum, term) => add(sum, term))
  }

  #noise(call: number): Tensor {
    const { shape, device } = this.#latents
    return randomNormal(shape, { seed: this.#seed, stream: streamOf(`sampler noise ${call}`), device })
  }
}

function keyOf(source: Source, call: number): string {
  return `${source} ${call}`
}
