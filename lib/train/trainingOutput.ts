/** What a training writes and when: weights, states, and previews drawn from the weights as they were written. */
import { randomBytes } from 'node:crypto'
import { mkdir, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { WritableFileSystem } from '../io/atomicWrite.ts'
import { toIoError } from '../io/systemError.ts'
import { temporaryName } from '../io/temporaryFiles.ts'
import type { SaveFacts } from '../networks/metadata.ts'
import { findNonFiniteValues } from '../optim/nonFinite.ts'
import { inEvaluation, type Optimizer } from '../optim/optimizer.ts'
import { type SampleOptions, samplePicture } from '../preview/pipeline.ts'
import { type RgbImage, sampleFileName, writePng } from '../preview/png.ts'
import type { PromptSpec } from '../preview/promptSpec.ts'
import { releaseUnused } from '../tensor/settle.ts'
import { DivergenceError } from '../util/errors.ts'
import { listed } from '../util/listed.ts'
import type { TrainingControls } from './controls.ts'
import type { EndEvent, PlannedWork, PreviewEvent, RemoveEvent, SaveEvent, StateEvent, WarningEvent } from './events.ts'
import type { PreviewSource, TrainingMethod } from './method.ts'
import { expiredName, isDue, type Moment, outputName, type StepPlan } from './plan/schedule.ts'
import { type RunPosition, stateFiles } from './state/manifest.ts'
import type { TrainConfig } from './trainConfig.ts'
import { deviceOf } from './trainingDevice.ts'

export interface TrainingOutputParts {
  readonly config: TrainConfig
  readonly seed: number
  readonly prompts: readonly PromptSpec[]
  /** Whether pictures are held out to be measured. */
  readonly measures: boolean
  readonly plan: StepPlan
  readonly method: TrainingMethod
  /** Switched to the values to be saved, if it has such. */
  readonly optimizer: Optimizer
  /** Writes all that is needed to go on from here. */
  readonly saveState: (folder: string, at: RunPosition) => Promise<number>
  readonly controls?: TrainingControls | undefined
  /** Once aborted, no more pictures are drawn. */
  readonly signal?: AbortSignal | undefined
  /** See `TrainingOptions`. */
  readonly fileSystem?: WritableFileSystem | undefined
}

type OutputEvent = SaveEvent | StateEvent | RemoveEvent | PreviewEvent | WarningEvent

export class TrainingOutput {
  readonly #parts: TrainingOutputParts
  readonly #saveEveryEpochs: number | null
  /** What has been said of prompts. */
  readonly #warned = new Set<string>()
  #final: SaveEvent | null = null

  constructor(parts: TrainingOutputParts) {
    this.#parts = parts
    const { saveRatio = null, saveEveryEpochs } = parts.config.output
    this.#saveEveryEpochs =
      saveRatio === null ? saveEveryEpochs : Math.max(1, Math.floor(parts.plan.epochCount / saveRatio))
  }

  /** Before the first step. */
  async *atFirst(at: RunPosition): AsyncGenerator<OutputEvent> {
    if (this.#parts.config.preview.atFirst && at.step === 0) yield* this.#preview(null, { step: 0 }, at)
  }

  async *afterStep(at: RunPosition): AsyncGenerator<OutputEvent> {
    const { output, preview, state } = this.#parts.config
    const moment = { step: at.step }
    const { controls } = this.#parts
    const asked = { save: controls?.takeSaveRequest() === true, preview: controls?.takePreviewRequest() === true }
    let path: string | null = null
    if (isDue(at.step, output.saveEverySteps)) {
      const saved = await this.#save(moment, at.step, at.epoch - 1)
      yield saved
      path = saved.path
      yield* this.#remove(expiredName(moment, output.saveEverySteps!, output.keepLastSteps ?? null), 'weights')
      if (state?.save) {
        yield await this.#saveState(moment, at)
        const keep = state.keepLastSteps ?? output.keepLastSteps ?? null
        yield* this.#remove(expiredName(moment, output.saveEverySteps!, keep), 'state')
      }
    }
    if (asked.save && path === null) {
      const saved = await this.#save(moment, at.step, at.epoch - 1)
      yield saved
      path = saved.path
    }
    const due = preview.everyEpochs === null && isDue(at.step, preview.everySteps)
    if (due || asked.preview) yield* this.#preview(path, moment, at)
  }

  /** What is due besides steps. */
  get planned(): PlannedWork {
    const { output, preview, state, validation } = this.#parts.config
    const every = this.#saveEveryEpochs
    const saves = { everySteps: output.saveEverySteps, everyEpochs: every, atEnd: true }
    const { everySteps = null, everyEpochs = null } = validation ?? {}
    const byEpoch = preview.everyEpochs !== null
    return {
      save: saves,
      ...(state?.save && { state: saves }),
      ...(this.#parts.prompts.length > 0 && {
        preview: { everySteps: byEpoch ? null : preview.everySteps, everyEpochs: preview.everyEpochs, atEnd: false },
      }),
      ...(this.#parts.measures && {
        validation: { everySteps, everyEpochs: everyEpochs ?? (everySteps === null ? 1 : null), atEnd: false },
      }),
    }
  }

  /** After an epoch, whole or the last, shorter one. */
  async *afterEpoch(at: RunPosition): AsyncGenerator<OutputEvent> {
    const { output, preview, state } = this.#parts.config
    const moment = { epoch: at.epoch }
    const every = this.#saveEveryEpochs
    let path: string | null = null
    if (at.epoch >= this.#parts.plan.epochCount) {
      const saved = await this.#saveFinal(at)
      yield saved
      path = saved.path
    } else if (isDue(at.epoch, every)) {
      const saved = await this.#save(moment, at.step, at.epoch)
      yield saved
      path = saved.path
      yield* this.#remove(expiredName(moment, every!, output.keepLastEpochs ?? null), 'weights')
      if (state?.save) {
        yield await this.#saveState(moment, at)
        yield* this.#remove(expiredName(moment, every!, state.keepLastEpochs ?? output.keepLastEpochs ?? null), 'state')
      }
    }
    if (isDue(at.epoch, preview.everyEpochs)) yield* this.#preview(path, moment, at)
  }

  /** The last file, and what is needed to go on where there is more to do or it was asked for. */
  async *atEnd(at: RunPosition, interrupted: boolean): AsyncGenerator<OutputEvent | EndEvent> {
    const { state } = this.#parts.config
    const reason = interrupted ? 'interrupted' : 'finished'
    if (at.step === 0 || at.step === -at.before.steps) {
      yield { type: 'end', reason, step: at.step, path: null }
      return
    }
    if (this.#final === null) yield await this.#saveFinal(at)
    if (interrupted || state?.save || state?.saveAtEnd) yield await this.#saveState('end', at)
    yield { type: 'end', reason, step: at.step, path: this.#final!.path }
  }

  async #saveFinal(at: RunPosition): Promise<SaveEvent> {
    this.#final = await this.#save('end', at.step, at.epoch)
    return this.#final
  }

  #pathOf(at: Moment | 'end', suffix: string): string {
    const { folder, name } = this.#parts.config.output
    return join(folder, outputName(name, at, suffix))
  }

  async #save(at: Moment | 'end', step: number, epoch: number): Promise<SaveEvent> {
    const path = this.#pathOf(at, this.#parts.method.extension)
    const facts = { steps: step, epoch, finishedAt: Date.now() / 1000 }
    const bytes = await this.#write(path, facts)
    return { type: 'save', path, step, epoch, bytes }
  }

  /** A good file is never replaced by a broken one. */
  #write(path: string, facts: SaveFacts): Promise<number> {
    const { method, optimizer } = this.#parts
    return inEvaluation(optimizer, async () => {
      const broken = await findNonFiniteValues(method.groups.flatMap(({ params }) => params))
      if (broken.length > 0)
        throw new DivergenceError(
          `${path}: nothing was written: after step ${facts.steps}, weights are not finite: ${listed(broken)}. Lower the learning rate, and go on from an earlier file`,
          broken,
        )
      return method.write(path, facts)
    })
  }

  async #saveState(moment: Moment | 'end', at: RunPosition): Promise<StateEvent> {
    const path = this.#pathOf(moment, '-state')
    const bytes = await this.#parts.saveState(path, at)
    return { type: 'state', path, step: at.step, epoch: at.epoch, bytes }
  }

  /** Takes away what a newer save makes superfluous. */
  async *#remove(expired: Moment | null, what: 'weights' | 'state'): AsyncGenerator<RemoveEvent> {
    if (expired === null) return
    const path = this.#pathOf(expired, what === 'state' ? '-state' : this.#parts.method.extension)
    const exists = await stat(path).then(
      () => true,
      () => false,
    )
    if (!exists) return
    try {
      // First: a folder with a manifest is complete, also when the rest is not removed any more.
      if (what === 'state') await rm(stateFiles(path).manifest, { force: true })
      await rm(path, { recursive: true })
    } catch (error) {
      throw toIoError(path, 'remove what newer saves replace', error)
    }
    yield { type: 'remove', path, what }
  }

  /** Previews from the file: what is drawn is what the user will load. Without one, a passing file is written and read. */
  async *#preview(path: string | null, moment: Moment, at: RunPosition): AsyncGenerator<PreviewEvent | WarningEvent> {
    const { config, method, signal, prompts } = this.#parts
    if (signal?.aborted || prompts.length === 0) return
    if (path !== null) {
      yield* this.#draw(path, moment, at)
      return
    }
    // A killed process leaves it; the next write to the output folder knows it by its name and removes it.
    const folder = join(config.output.folder, temporaryName(randomBytes(6)))
    const passing = join(folder, `preview${method.extension}`)
    const facts = { steps: at.step, epoch: at.epoch, finishedAt: Date.now() / 1000 }
    try {
      await mkdir(folder)
      await this.#write(passing, facts)
      yield* this.#draw(passing, moment, at)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }

  /** Ends early, without an error, when aborted. */
  async *#draw(
    path: string,
    moment: Moment,
    { step, epoch }: RunPosition,
  ): AsyncGenerator<PreviewEvent | WarningEvent> {
    const { config, method, prompts } = this.#parts
    const warnings: string[] = []
    const onWarning = (message: string): void => {
      if (!this.#warned.has(message)) warnings.push(message)
      this.#warned.add(message)
    }
    const source = await method.openPreview(path)
    try {
      for (const [index, prompt] of prompts.entries()) {
        const picture = await this.#picture(source, prompt, index, onWarning)
        for (const message of warnings.splice(0)) yield { type: 'warning', message }
        if (picture === null) return
        const name = sampleFileName({
          outputName: config.output.name ?? undefined,
          time: new Date(),
          at: moment,
          index,
          seed: prompt.seed,
        })
        const file = join(config.output.folder, 'sample', name)
        await mkdir(dirname(file), { recursive: true })
        await writePng(file, picture, this.#parts)
        const seed = prompt.seed ?? this.#parts.seed + index
        yield { type: 'preview', path: file, prompt: prompt.prompt, promptIndex: index, seed, step, epoch }
      }
    } finally {
      source.close()
    }
    await releaseUnused(deviceOf(config))
  }

  /** Null when drawing was aborted. */
  async #picture(
    { models, tokenizer, expandPrompt }: PreviewSource,
    prompt: PromptSpec,
    index: number,
    onWarning: (message: string) => void,
  ): Promise<RgbImage | null> {
    const { config, seed, signal } = this.#parts
    const options: SampleOptions = {
      clipSkip: config.model.clipSkip ?? 1,
      seed: seed + index,
      signal,
      ...(config.preview.sampler && { sampler: config.preview.sampler }),
      onWarning,
      ...(expandPrompt && { expandPrompt }),
    }
    try {
      return await samplePicture(models, tokenizer, prompt, options)
    } catch (error) {
      if (signal?.aborted && error === signal.reason) return null
      throw error
    }
  }
}
