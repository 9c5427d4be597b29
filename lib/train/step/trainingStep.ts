import { setTimeout } from 'node:timers/promises'
import { backwardInTurns } from '../../autograd/backward.ts'
import type { Recorder } from '../../autograd/recorder.ts'
import { forgetHistory, noGrad } from '../../autograd/tape.ts'
import { contextTensors, type UNet, type UNetContext } from '../../models/stableDiffusion/unet.ts'
import { cast } from '../../ops/cast.ts'
import { scale } from '../../ops/scale.ts'
import { findNonFinite } from '../../optim/nonFinite.ts'
import { clipGradients, type Optimizer } from '../../optim/optimizer.ts'
import { tensor } from '../../tensor/create.ts'
import { scope } from '../../tensor/scope.ts'
import { formatShape } from '../../tensor/shape.ts'
import { retain, type Tensor } from '../../tensor/tensor.ts'
import { ArgumentError } from '../../util/errors.ts'
import { findBrokenPlace } from './brokenPlace.ts'
import { FusedBackward } from './fusedBackward.ts'
import { type LossFunction, type LossOptions, weightedLoss } from './loss.ts'
import type { LossScaler } from './lossScaler.ts'
import { type BatchKey, makeNoisy, type NoiseOptions, type NoisyBatch } from './noise.ts'
import { repeatPass } from './repeatedPass.ts'
import { backwardPlace, type StepFault } from './stepFault.ts'

/** One batch, ready for the U-Net's side of the step. */
export interface TrainBatch {
  readonly key: BatchKey
  /** float32 [n, h, w, c], multiplied by the scaling factor. */
  readonly latents: Tensor
  readonly captions: readonly string[]
  /** 1 for pictures of the subject, the prior loss weight for regularisation pictures. */
  readonly lossWeights: readonly number[]
  /** Weights of the loss over the latents' area, [n, h, w], each 0 to 1. Default: 1. */
  readonly mask?: Float32Array | undefined
  /** Strength of a network in this batch. Default 1. */
  readonly networkMultiplier?: number | undefined
  /** `custom_attributes` of the pictures, for a loss of one's own. Default: none. */
  readonly attributes?: readonly Readonly<Record<string, unknown>>[] | undefined
  /** Seed of the noise when it is measured. Default: that of the training. */
  readonly measuredSeed?: bigint | undefined
  /** Paths of the pictures, for messages. Default: not known. */
  readonly pictures?: readonly string[] | undefined
}

/** What a step asks a kind of training for. */
export interface StepMethod {
  /** Called before `condition` for its captions: what that needs and has to be waited for. */
  fetchCaptions?(captions: readonly string[]): Promise<void>
  /**
   * Captions to hidden states, [n, s, d], or those of each cross-attention layer; recorded when what makes them learns. `key` is that
   * of the batch, for random choices.
   */
  condition(captions: readonly string[], key: BatchKey): UNetContext
  /** Called before every forward pass, with its number in the run: random choices are a function of it. */
  beginPass?(pass: number): void
  /** Called before every forward pass, of evaluation too, with the strength that the network is to have in it. */
  setMultiplier?(multiplier: number): void
  /**
   * Whether the U-Net's pass calls the same ops with the same numbers whenever shapes and strength are the same, but for what dropout or
   * `refuseStep` tells of. Default false: the pass is never repeated without its JavaScript.
   */
  readonly repeats?: boolean
}

export interface TrainingStepOptions {
  readonly unet: UNet
  readonly method: StepMethod
  readonly optimizer: Optimizer
  readonly noise: NoiseOptions
  /** Checked by `checkLossOptions`; or a function that computes the loss itself. */
  readonly loss: LossOptions | LossFunction
  /** Whether `lossWeights` of the batches count. Default true. */
  readonly weighsPictures?: boolean
  readonly gradientAccumulationSteps: number
  /** 0: gradients are not clipped. */
  readonly maxGradNorm: number
  /** For a U-Net in float16. Default: the loss is not scaled. */
  readonly lossScaler?: LossScaler | null
  /**
   * Step each parameter within the backward pass, as soon as its gradient is complete. Gradients are neither clipped nor accumulated then,
   * and no loss is scaled. Default false.
   */
  readonly fusedBackward?: boolean
  /** Repeats passes of the U-Net that are like earlier ones; the caller disposes it. Default: none, every pass is called op by op. */
  readonly recorder?: Recorder | null
}

/** One parameter update: the mean loss of its micro-batches and the norm of its gradient, not yet waited for. */
export interface UpdateResult {
  readonly loss: number
  readonly gradientNorm: number
  /** Of each group, where the optimizer finds its own step size; else null. */
  readonly effectiveLearningRates: readonly number[] | null
  /** Null for a step that was taken; otherwise a loss or a gradient was not finite, and nothing was changed but what it tells. */
  readonly fault: StepFault | null
  /**
   * A scaled gradient overflowed: nothing was changed, the scale is smaller now, and learning rates should not move on. That is no
   * fault, unless the scale is exhausted.
   */
  readonly overflow: boolean
}

/** A batch that has gone forward and backward; the latents are its own. */
interface DoneBatch {
  readonly batch: TrainBatch
  readonly pass: number
  readonly loss: Promise<number>
}

/** The training step: noise, U-Net, loss, backward; and after every k-th of these one update. */
export class TrainingStep {
  readonly #options: TrainingStepOptions
  readonly #fused: FusedBackward | null
  #done: DoneBatch[] = []
  /** Batches that went through; a resumed run sets it. */
  passes = 0

  /** @throws ArgumentError for options that contradict each other */
  constructor(options: TrainingStepOptions) {
    this.#options = options
    const { fusedBackward = false, optimizer, gradientAccumulationSteps, maxGradNorm, lossScaler, recorder } = options
    if (fusedBackward && (gradientAccumulationSteps > 1 || maxGradNorm > 0 || lossScaler || recorder)) {
      const expected = 'off while gradients are accumulated or clipped, the loss is scaled or passes are repeated'
      throw new ArgumentError('TrainingStep', 'fusedBackward', expected, 'true')
    }
    this.#fused = fusedBackward ? new FusedBackward(optimizer) : null
  }

  /**
   * Forward and backward for one batch; gradients add up until `update`. Enqueueing a step takes some twenty milliseconds of the
   * calling thread, so others get a turn between its parts.
   * @param rates as those of `update`, for a step that is taken within the backward pass. Default 1
   */
  async accumulate(batch: TrainBatch, rates: number | readonly number[] = 1): Promise<void> {
    const { method } = this.#options
    const pass = this.passes++
    method.beginPass?.(pass)
    await method.fetchCaptions?.(batch.captions)
    const context = this.#condition(batch)
    await turn()
    const inputs = this.#prepare(batch)
    const repeated = this.#repeat(batch, inputs, context)
    if (repeated !== null) {
      this.#add(batch, pass, repeated)
      return turn()
    }
    const { loss, share } = await this.#forward(batch, inputs, context)
    const value = this.#add(batch, pass, loss)
    await turn()
    if (this.#fused === null) await backwardInTurns(share, { turn })
    else {
      // SYNC: nothing may change for a loss that is not finite, or one that cannot be read.
      const steps = await value.then(Number.isFinite, () => false)
      await this.#fused.run(share, { learningRates: this.#learningRates(rates), steps, turn })
    }
    share.dispose()
    await turn()
  }

  #add(batch: TrainBatch, pass: number, loss: Tensor): Promise<number> {
    const value = readNumber(loss, 0)
    // A failure is raised by `update`; until then it must not count as unhandled.
    value.catch(() => undefined)
    this.#done.push({ batch: { ...batch, latents: retain(batch.latents) }, pass, loss: value })
    return value
  }

  #learningRates(rates: number | readonly number[]): readonly number[] {
    return typeof rates === 'number' ? this.#options.optimizer.learningRates.map((rate) => rate * rates) : rates
  }

  /** The loss after forward and backward pass, by a recording; null: they are to be called. Otherwise what they need is used up. */
  #repeat(batch: TrainBatch, inputs: NoisyBatch, context: UNetContext): Tensor | null {
    const { recorder, method, unet, loss } = this.#options
    if (!recorder || method.repeats !== true || typeof loss === 'function') return null
    return repeatPass(recorder, {
      unet,
      ...inputs,
      context,
      ...this.#lossInputs(batch, inputs),
      loss,
      share: this.#share,
      strength: batch.networkMultiplier ?? 1,
    })
  }

  /** What the loss of a batch is multiplied by. */
  get #share(): number {
    return this.#lossScale / this.#options.gradientAccumulationSteps
  }

  /**
   * The loss of a batch at given timesteps, for validation: nothing is recorded, and accumulated gradients stay as they are. The noise is a
   * function of the batch's key and of its `measuredSeed`. Dropout is the caller's to switch off.
   * @param timesteps one for each sample
   */
  async evaluate(batch: TrainBatch, timesteps: readonly number[]): Promise<number> {
    await this.#options.method.fetchCaptions?.(batch.captions)
    const loss = noGrad(() =>
      scope(() => {
        const { unet } = this.#options
        const inputs = this.#prepare(batch, timesteps)
        const prediction = unet.forward(inputs.noisy, inputs.times, this.#condition(batch))
        return this.#loss(prediction, inputs, batch)
      }),
    )
    return readNumber(loss, 0)
  }

  /** The loss and its share of the update's; `inputs` and `context` are used up. */
  async #forward(
    batch: TrainBatch,
    inputs: NoisyBatch,
    context: UNetContext,
  ): Promise<{ loss: Tensor; share: Tensor }> {
    const { unet } = this.#options
    const { noisy, target, times } = inputs
    let prediction: Tensor | null = null
    try {
      prediction = await unet.forwardInTurns(noisy, times, context, { turn })
      const predicted = prediction
      return scope(() => {
        const loss = this.#loss(predicted, inputs, batch)
        return { loss, share: scale(loss, { factor: this.#share }) }
      })
    } catch (error) {
      for (const used of [...contextTensors(context), prediction]) if (used !== null) forgetHistory(used)
      throw error
    } finally {
      for (const used of [noisy, target, times, ...contextTensors(context), prediction]) used?.dispose()
    }
  }

  #condition({ captions, key, networkMultiplier = 1 }: TrainBatch): UNetContext {
    const { method } = this.#options
    method.setMultiplier?.(networkMultiplier)
    return method.condition(captions, key)
  }

  /** What the U-Net is given, in its dtype, and what it shall find. */
  #prepare({ latents, key, measuredSeed }: TrainBatch, timesteps?: readonly number[]): NoisyBatch {
    const { unet, noise } = this.#options
    const isMeasured = timesteps !== undefined && measuredSeed !== undefined
    return scope(() => {
      const inputs = makeNoisy(latents, isMeasured ? { ...noise, seed: measuredSeed } : noise, key, timesteps)
      return { ...inputs, noisy: cast(inputs.noisy, { dtype: unet.registry.dtype }) }
    })
  }

  /** What a loss is made of, beside the prediction. The mask is the caller's to dispose. */
  #lossInputs({ lossWeights, mask, attributes }: TrainBatch, { target, timesteps }: NoisyBatch) {
    const { noise, weighsPictures = true } = this.#options
    const { schedule, predictionType } = noise
    return {
      target,
      timesteps,
      lossWeights: weighsPictures ? lossWeights : lossWeights.map(() => 1),
      mask: mask === undefined ? null : tensor(mask, target.shape.slice(0, 3), { device: target.device }),
      attributes,
      schedule,
      predictionType,
    }
  }

  #loss(prediction: Tensor, noisy: NoisyBatch, batch: TrainBatch): Tensor {
    const { loss } = this.#options
    return scope(() => {
      const inputs = { prediction, ...this.#lossInputs(batch, noisy) }
      const result = typeof loss === 'function' ? loss(inputs) : weightedLoss(inputs, loss)
      if (result.rank !== 0 || result.dtype !== 'float32')
        throw new ArgumentError('TrainingStep', 'loss', 'one float32 number, of shape []', describe(result))
      return result
    })
  }

  /** Micro-batches accumulated since the last update. */
  get accumulated(): number {
    return this.#done.length
  }

  get #lossScale(): number {
    return this.#options.lossScaler?.scale ?? 1
  }

  /**
   * Clips, steps the optimizer and clears the gradients. A loss or a gradient that is not finite changes nothing; what broke is named,
   * unless it was the scale of the loss.
   * @param rates of the groups for this step, or the one factor of all, from the schedule. A step within the backward pass was taken with
   *   those that `accumulate` was given
   */
  async update(rates: number | readonly number[]): Promise<UpdateResult> {
    if (this.#fused !== null) return this.#updateFused(this.#fused)
    const { optimizer, maxGradNorm, lossScaler } = this.#options
    const learningRates = this.#learningRates(rates)
    let clip: Tensor | null = null
    try {
      // They are known while the backward pass still runs: nothing waits for the device here.
      const { losses, loss } = await this.#losses()
      clip = clipGradients(optimizer, maxGradNorm > 0 ? maxGradNorm : Number.POSITIVE_INFINITY, this.#lossScale)
      // Where the norm is not finite, the optimizer changes nothing but counts a step: one that overflowed is not to count.
      if (!lossScaler && Number.isFinite(loss)) optimizer.step({ clip, learningRates })
      const gradientNorm = clip === null ? 0 : Number((await clip.read())[0])
      const finite = Number.isFinite(loss) && Number.isFinite(gradientNorm)
      if (lossScaler && finite) optimizer.step({ clip, learningRates })
      if (Number.isFinite(loss)) lossScaler?.update(finite)
      const overflow = lossScaler != null && !finite && Number.isFinite(loss)
      const isFault = overflow ? lossScaler.isExhausted : !finite
      return {
        loss,
        gradientNorm,
        effectiveLearningRates: (await optimizer.effectiveLearningRates?.()) ?? null,
        fault: isFault ? await this.#fault(losses, loss, await findNonFinite(optimizer)) : null,
        overflow,
      }
    } finally {
      clip?.dispose()
      optimizer.zeroGrad()
      this.dispose()
    }
  }

  /** What became of a step that was taken within the backward pass. */
  async #updateFused(fused: FusedBackward): Promise<UpdateResult> {
    const { optimizer } = this.#options
    try {
      const { losses, loss } = await this.#losses()
      const { gradientNorm, broken } = await fused.norms()
      const isFault = !Number.isFinite(loss) || broken.length > 0
      return {
        loss,
        gradientNorm,
        effectiveLearningRates: (await optimizer.effectiveLearningRates?.()) ?? null,
        fault: isFault ? await this.#fault(losses, loss, broken) : null,
        overflow: false,
      }
    } finally {
      optimizer.zeroGrad()
      this.dispose()
    }
  }

  /** Of the micro-batches, and their mean. */
  async #losses(): Promise<{ readonly losses: readonly number[]; readonly loss: number }> {
    const losses = await Promise.all(this.#done.map(({ loss }) => loss))
    return { losses, loss: losses.reduce((sum, value) => sum + value, 0) / losses.length }
  }

  /** Frees what a begun step holds. The next batch begins another. */
  dispose(): void {
    this.#fused?.dispose()
    for (const { batch } of this.#done.splice(0)) batch.latents.dispose()
  }

  async #fault(losses: readonly number[], loss: number, parameters: readonly string[]): Promise<StepFault> {
    const broken = this.#done.filter((_, i) => !Number.isFinite(losses[i]))
    const batches = broken.length > 0 ? broken : this.#done
    const isPartial = this.#fused !== null && broken.length === 0
    return {
      loss,
      parameters,
      pictures: [...new Set(batches.flatMap(({ batch }) => batch.pictures ?? []))],
      // Weights that have been stepped would compute something else.
      place: isPartial ? backwardPlace : await this.#brokenPlace(batches, broken.length > 0),
      othersStepped: isPartial,
    }
  }

  async #brokenPlace(batches: readonly DoneBatch[], lossIsBroken: boolean): Promise<string> {
    const { method } = this.#options
    const passes = batches.map(({ batch, pass }) => ({
      latents: batch.latents,
      begin: async () => {
        method.beginPass?.(pass)
        await method.fetchCaptions?.(batch.captions)
      },
      prepare: () => this.#prepare(batch),
      condition: () => this.#condition(batch),
    }))
    return (await findBrokenPlace(passes, this.#options)) ?? (lossIsBroken ? 'the loss' : backwardPlace)
  }
}

/** Lets everything else that waits for this thread run, timers too: immediates alone would join two passes into one long turn. */
function turn(): Promise<void> {
  return setTimeout(0)
}

function describe({ dtype, shape }: Tensor): string {
  return `${dtype} ${formatShape(shape)}`
}

async function readNumber(t: Tensor, index: number): Promise<number> {
  try {
    return Number((await t.read())[index])
  } finally {
    t.dispose()
  }
}
