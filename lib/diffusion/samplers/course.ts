/**
 * What a sampler does, worked out before it begins: which calls of the model it makes, and how the latents follow from each. All
 * samplers here are linear in what they meet, so that formulas can be written down with {@link Sum}s as they stand in papers.
 */

/** What a sum is made of: the latents before a call, the model's output of a call, fresh noise of a call. */
export type Source = 'latents' | 'output' | 'noise'

export interface Term {
  readonly source: Source
  /** Index of the call. */
  readonly call: number
  readonly factor: number
}

/** A weighted sum of things that a sampler meets; its factors are float64. */
export class Sum {
  /** One for each source and call; none is zero. */
  readonly terms: readonly Term[]

  constructor(terms: readonly Term[]) {
    this.terms = terms
  }

  static of(source: Source, call: number): Sum {
    return new Sum([{ source, call, factor: 1 }])
  }

  times(factor: number): Sum {
    return factor === 0 ? new Sum([]) : new Sum(this.terms.map((term) => ({ ...term, factor: term.factor * factor })))
  }

  plus(...others: readonly Sum[]): Sum {
    const merged = new Map<string, Term>()
    for (const { terms } of [this, ...others]) {
      for (const term of terms) {
        const key = `${term.source} ${term.call}`
        merged.set(key, { ...term, factor: term.factor + (merged.get(key)?.factor ?? 0) })
      }
    }
    return new Sum([...merged.values()].filter(({ factor }) => factor !== 0))
  }

  minus(other: Sum): Sum {
    return this.plus(other.times(-1))
  }
}

/** One call of the model, and what follows from it. */
export interface SamplerCall {
  /** Diffusion time that the model is told, 0 to 999; may be a fraction. */
  readonly time: number
  /** What the latents are multiplied by to become the model's input. */
  readonly inputScale: number
  /** The latents after this call: those before the next call, or at the end the result. */
  readonly next: readonly Term[]
}

/** What a call brings into the formulas. */
export interface Met {
  readonly latents: Sum
  readonly output: Sum
  readonly noise: Sum
}

/** The calls of a sampler in their order. Every `call` is followed by one `proceed`. */
export class Course {
  readonly #calls: SamplerCall[] = []
  #open: Omit<SamplerCall, 'next'> = { time: 0, inputScale: 1 }

  get calls(): readonly SamplerCall[] {
    return this.#calls
  }

  call(time: number, inputScale = 1): Met {
    const index = this.#calls.length
    this.#open = { time, inputScale }
    return { latents: Sum.of('latents', index), output: Sum.of('output', index), noise: Sum.of('noise', index) }
  }

  /** @param next the latents after the call */
  proceed(next: Sum): void {
    this.#calls.push({ ...this.#open, next: next.terms })
  }
}

/** Of a sampler, what does not depend on the latents. */
export interface SamplerPlan {
  /** Standard deviation of the latents that it starts from. */
  readonly initialSigma: number
  readonly calls: readonly SamplerCall[]
}
