/** How a training goes, on a stream: a bar on a terminal, a line now and then elsewhere. */
import type { CacheEvent, StepEvent, TrainEvent } from '../train/events.ts'
import { formatLearningRates, formatLoss, formatRate, formatSeconds } from './format.ts'
import type { TextStream } from './host.ts'

export interface Progress {
  /** Takes up any event; most change nothing. */
  update(event: TrainEvent): void
  /** Makes room for a line of other output. */
  clear(): void
  /** Leaves the terminal as it was. */
  stop(): void
}

export interface ProgressOptions {
  /** Milliseconds between lines where there is no terminal. Default: 10,000. */
  readonly intervalMs?: number
  /** Milliseconds of any clock. Default: the process's. */
  readonly now?: () => number
}

export async function createProgress(stream: TextStream, options: ProgressOptions = {}): Promise<Progress> {
  return stream.isTTY ? barProgress(stream) : lineProgress(stream, options)
}

/** Lines at the first and the last step, and between them when `intervalMs` have gone by. */
function lineProgress(
  stream: TextStream,
  { intervalMs = 10_000, now = () => performance.now() }: ProgressOptions,
): Progress {
  let last = Number.NEGATIVE_INFINITY
  const show = (line: string, due: boolean): void => {
    if (!due && now() - last < intervalMs) return
    last = now()
    stream.write(`${line}\n`)
  }
  return {
    update: (event) => {
      if (event.type === 'cache') show(cacheLine(event), event.done === event.total)
      else if (event.type === 'step') show(stepLine(event), event.step === 1 || event.step === event.totalSteps)
    },
    clear: () => {},
    stop: () => {},
  }
}

function cacheLine({ what, done, total, reused }: CacheEvent): string {
  return `encoding ${what}: ${done}/${total}${reused > 0 ? ` (${reused} found in the cache)` : ''}`
}

function stepLine(event: StepEvent): string {
  const { step, totalSteps, loss, averageLoss, learningRates, stepsPerSecond } = event
  return [
    `step ${step}/${totalSteps}`,
    `loss ${formatLoss(loss)}`,
    `average ${formatLoss(averageLoss)}`,
    `lr ${formatLearningRates(learningRates)}`,
    formatRate(stepsPerSecond),
    `${secondsLeft(event)} left`,
  ].join('  ')
}

function secondsLeft({ step, totalSteps, stepsPerSecond }: StepEvent): string {
  return formatSeconds((totalSteps - step) / stepsPerSecond)
}

async function barProgress(stream: TextStream): Promise<Progress> {
  const { default: cliProgress } = await import('cli-progress')
  // A single bar would put the cursor back to where it began, over the lines written since; several bars do not.
  type Bars = InstanceType<typeof cliProgress.MultiBar>
  let bars: Bars | undefined
  let bar: ReturnType<Bars['create']> | undefined
  let phase: 'cache' | 'step' | undefined
  const stop = (): void => {
    bars?.stop()
    bars = undefined
    phase = undefined
  }
  const show = (name: 'cache' | 'step', format: string, done: number, total: number, values: object): void => {
    if (phase === name) {
      bar?.update(done, values)
      return
    }
    stop()
    const options = { format, stream, hideCursor: true, forceRedraw: true, barsize: 16, gracefulExit: false }
    bars = new cliProgress.MultiBar(options, cliProgress.Presets.shades_classic)
    bar = bars.create(total, done, values)
    phase = name
  }
  return {
    update: (event) => {
      if (event.type === 'cache') {
        const values = { what: event.what, speed: event.perSecond.toFixed(1) }
        show('cache', 'encoding {what} {bar} {value}/{total}  {speed}/s', event.done, event.total, values)
      } else if (event.type === 'step') {
        const values = {
          average: formatLoss(event.averageLoss),
          loss: formatLoss(event.loss),
          rates: formatLearningRates(event.learningRates),
          rate: formatRate(event.stepsPerSecond),
          left: secondsLeft(event),
        }
        const format = 'steps {bar} {value}/{total}  {left} left  {rate}  loss {loss}  average {average}  lr {rates}'
        show('step', format, event.step, event.totalSteps, values)
      }
    },
    clear: () => {
      if (bars !== undefined) stream.write('\r\x1b[K')
    },
    stop,
  }
}
