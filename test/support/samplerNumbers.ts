/** Samplers run on plain float64 numbers: what their plans say, without tensors. */
import type { SamplerCall } from '../../lib/diffusion/index.ts'

export interface NumberRun {
  /** The latents that the first call sees: standard normal numbers times the sampler's initial sigma. */
  readonly start: readonly number[]
  /** The model's output. */
  readonly model: (input: readonly number[], call: SamplerCall, index: number) => readonly number[]
  /** Fresh noise of a call. Default: a test that needs none. */
  readonly noise?: (call: number) => readonly number[]
}

/** The latents after each call. */
export function runInNumbers(calls: readonly SamplerCall[], { start, model, noise }: NumberRun): number[][] {
  const latents: (readonly number[])[] = [start]
  const outputs: (readonly number[])[] = []
  const after: number[][] = []
  calls.forEach((call, index) => {
    const x = latents[index]!
    outputs.push(
      model(
        x.map((value) => value * call.inputScale),
        call,
        index,
      ),
    )
    const next = x.map(() => 0)
    for (const term of call.next) {
      const values = { latents: latents[term.call], output: outputs[term.call], noise: noise?.(term.call) }[term.source]
      if (values === undefined) throw new Error(`call ${index} uses the ${term.source} of call ${term.call}`)
      values.forEach((value, i) => {
        next[i]! += value * term.factor
      })
    }
    latents.push(next)
    after.push(next)
  })
  return after
}
