/** Proves that a training can be stopped: a run that goes on from a state must end with the bits of one that did not stop. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSafetensors } from '../io/safetensors.ts'
import { ArgumentError } from '../util/errors.ts'
import type { TrainEvent } from './events.ts'
import type { TrainingKind } from './method.ts'
import { outputName } from './plan/schedule.ts'
import { stateFiles } from './state/manifest.ts'
import { train } from './train.ts'
import type { TrainConfig } from './trainConfig.ts'

export interface VerifyResumeOptions {
  /** Optimizer steps of each run; the state is saved after half of them. At least 2. Default 4. */
  readonly steps?: number
  readonly signal?: AbortSignal | undefined
  /** Told the events of both runs. Default: nobody. */
  readonly onEvent?: (event: TrainEvent) => void
}

export interface ResumeReport {
  readonly steps: number
  /** The step that the second run went on from. */
  readonly from: number
  /** Tensors compared: what is trained, and the optimizer's moments. */
  readonly tensors: number
  /** Names of those whose bits differ. */
  readonly differing: readonly string[]
}

/**
 * Trains a few steps, goes on from a state half-way, and compares the ends: weights and moments, bit by bit. Everything is written
 * into a passing folder; previews, logs and the hub are left out.
 *
 * @throws what the training throws
 */
export async function verifyResume<Config extends TrainConfig>(
  kind: TrainingKind<Config>,
  config: Config,
  { steps = 4, signal, onEvent = () => {} }: VerifyResumeOptions = {},
): Promise<ResumeReport> {
  if (!Number.isInteger(steps) || steps < 2)
    throw new ArgumentError('verifyResume', 'steps', 'a whole number of 2 or more', String(steps))
  const from = Math.floor(steps / 2)
  const folder = await mkdtemp(join(tmpdir(), 'noisewright-verify-'))
  try {
    let { seed } = config.training
    const run = async (name: string, resume: string | null): Promise<string> => {
      const into = join(folder, name)
      // The state half-way stays, however few are to be kept.
      const kept = { saveEveryEpochs: null, saveRatio: null, saveEverySteps: from, keepLastSteps: null }
      const short: Config = {
        ...config,
        training: { ...config.training, maxSteps: steps, maxEpochs: null, start: null, seed },
        output: { ...config.output, ...kept, folder: into, name },
        state: { save: true, resume },
        hub: { repository: null },
        preview: { promptFile: null, everyEpochs: null, everySteps: null },
      }
      for await (const event of train(kind, short, { signal })) {
        if (event.type === 'start') seed = event.seed
        onEvent(event)
      }
      signal?.throwIfAborted()
      return into
    }
    const whole = await run('whole', null)
    const resumed = await run('resumed', join(whole, outputName('whole', { step: from }, '-state')))
    const ends = [join(whole, 'whole-state'), join(resumed, 'resumed-state')] as const
    return { steps, from, ...(await compare(...ends)) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function compare(a: string, b: string): Promise<Pick<ResumeReport, 'tensors' | 'differing'>> {
  const differing: string[] = []
  let tensors = 0
  for (const part of ['parameters', 'optimizer'] as const) {
    const [one, other] = [await openSafetensors(stateFiles(a)[part]), await openSafetensors(stateFiles(b)[part])]
    try {
      for (const name of one.names) {
        tensors++
        const same = other.has(name) && Buffer.compare(await one.read(name), await other.read(name)) === 0
        if (!same) differing.push(name)
      }
    } finally {
      await one.close()
      await other.close()
    }
  }
  return { tensors, differing }
}
