/** Runs a training of the demo, with a line about the loss now and then. */
import type { DemoPlan } from '../../lib/demo/demo.ts'
import type { PreviewSource, TrainingKind } from '../../lib/train/method.ts'
import { parseTraining } from '../../lib/train/options/parseTraining.ts'
import { Trainer } from '../../lib/train/trainer.ts'
import { trainings } from '../../lib/train/trainings.ts'

/** A finished training: the model as its file gives it. */
export interface Trained extends PreviewSource {
  /** Losses on held-out pictures, in the order they were measured. */
  readonly validationLosses: readonly number[]
  dispose(): void
}

/**
 * Trains to the end.
 * @param options besides those of the plan, which they replace
 */
export async function runTraining(plan: DemoPlan, options: readonly string[], title: string): Promise<Trained> {
  const { config } = await parseTraining(plan.trainer, ['--config_file', plan.configFile, ...options])
  // Prompts keep the whole model in memory, to be drawn with afterwards.
  const quiet = { ...config, preview: { ...config.preview, atFirst: false, everySteps: null } }
  const kind: TrainingKind = trainings[plan.trainer]
  const trainer = await Trainer.open(kind, quiet)
  try {
    const progress = report(title, trainer.plan.totalSteps)
    const validationLosses: number[] = []
    let path: string | null = null
    for await (const event of trainer.run()) {
      if (event.type === 'step') progress(event.step, event.loss)
      else if (event.type === 'validation') validationLosses.push(event.loss)
      else if (event.type === 'end') path = event.path
    }
    const { models, tokenizer, close } = await trainer.method.openPreview(path!)
    const dispose = (): void => {
      close()
      trainer.dispose()
    }
    return { models, tokenizer, close, validationLosses, dispose }
  } catch (error) {
    trainer.dispose()
    throw error
  }
}

/** Prints the mean loss of every tenth of a training, and how long a step takes. */
function report(title: string, steps: number): (step: number, loss: number) => void {
  const each = Math.max(1, Math.ceil(steps / 10))
  let [sum, count, started] = [0, 0, performance.now()]
  return (step, loss) => {
    sum += loss
    count++
    if (count < each && step < steps) return
    const pace = (performance.now() - started) / count
    console.log(`  ${title}, step ${step} of ${steps}: loss ${(sum / count).toFixed(4)}, ${pace.toFixed(0)} ms a step`)
    ;[sum, count, started] = [0, 0, performance.now()]
  }
}
