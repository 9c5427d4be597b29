/** How a training goes, on a stream: a bar on a terminal, a line now and then elsewhere. */
import type { CacheEvent, StepEvent, TrainEvent } from '../train/events.ts'
import { TimeLeft } from '../train/logs/timeLeft.ts'
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
  /** Milliseconds of a clock that never jumps. Default: the process's. */
  readonly now?: () => number
}

export async function createProgress(stream: TextStream, options: ProgressOptions = {}): Promise<Progress> {
  return stream.isTTY ? barProgress(stream, options) : lineProgress(stream, options)
}

/** Lines at the first and the last step, and between them when `intervalMs` have gone by. */
function lineProgress(
  stream: TextStream,
  { intervalMs = 10_000, now = () => performance.now() }: ProgressOptions,
): Progress {
  const time = new TimeLeft({ now })
  let last = Number.NEGATIVE_INFINITY
  const show = (line: string, due: boolean): void => {
    if (!due && now() - last < intervalMs) return
    last = now()
    stream.write(`${line}\n`)
  }
  return {
    update: (event) => {
      time.add(event)
      if (event.type === 'cache') show(cacheLine(event), event.done === event.total)
      else if (event.type === 'step') show(stepLine(event, time), event.step === 1 || event.step === event.totalSteps)
    },
    clear: () => {},
    stop: () => {},
  }
}

function cacheLine({ what, done, total, reused }: CacheEvent): string {
  return `encoding ${what}: ${done}/${total}${reused > 0 ? ` (${reused} found in the cache)` : ''}`
}

function stepLine(event: StepEvent, time: TimeLeft): string {
  const { step, totalSteps, loss, averageLoss, learningRates } = event
  return [
    `step ${step}/${totalSteps}`,
    `loss ${formatLoss(loss)}`,
    `average ${formatLoss(averageLoss)}`,
    `lr ${formatLearningRates(learningRates)}`,
    rate(time),
    `${left(time)} left`,
  ].join('  ')
}

function rate({ stepsPerSecond }: TimeLeft): string {
  return formatRate(stepsPerSecond ?? Number.NaN)
}

function left({ seconds }: TimeLeft): string {
  return formatSeconds(seconds ?? Number.NaN)
}

async function barProgress(stream: TextStream, { now }: ProgressOptions): Promise<Progress> {
  const { default: cliProgress } = await import('cli-progress')
  const time = new TimeLeft(now === undefined ? {} : { now })
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
      time.add(event)
      if (event.type === 'cache') {
        const values = { what: event.what, speed: event.perSecond.toFixed(1) }
        show('cache', 'encoding {what} {bar} {value}/{total}  {speed}/s', event.done, event.total, values)
      } else if (event.type === 'step') {
        const values = {
          average: formatLoss(event.averageLoss),
          loss: formatLoss(event.loss),
          rates: formatLearningRates(event.learningRates),
          rate: rate(time),
          left: left(time),
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
