/** Kills trainings at any moment, goes on from the newest state, and compares the end with that of a run that was left alone. */
import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { openSafetensors } from '../../lib/io/safetensors.ts'
import { readManifest, stateFiles } from '../../lib/train/state/manifest.ts'
import { uniform } from './seededNumbers.ts'
import { writeTinyFiles } from './tinyFiles.ts'

export interface TrainingKillOptions {
  /** The compiled `trainingChild.ts`. */
  readonly program: string
  /** Empty, for everything that is written. */
  readonly folder: string
  readonly kills: number
  /** Of the moments and the numbers of threads. */
  readonly seed: number
  /** Default: 16. */
  readonly steps?: number
  /** Kills of one run; it is left alone after them. Default: 12. */
  readonly mostPerRun?: number
  /** Told of each kill and each end. Default: nobody. */
  readonly onProgress?: (line: string) => void
}

/** What was found. Every run ended with the bits of the run that was left alone, and every state found was whole. */
export interface TrainingKillReport {
  readonly kills: number
  /** Kills before the first step of a process, between a step and its state or after the last step, and elsewhere. */
  readonly killsBeforeSteps: number
  readonly killsInSaves: number
  readonly killsInSteps: number
  /** Runs that ended, each after any number of kills. */
  readonly runs: number
  /** Times that a run went on from a state, and from nothing. */
  readonly resumed: number
  readonly begunAgain: number
  /** Looks at states after kills; each was whole. */
  readonly wholeStates: number
  /** Folders of states without a manifest: being removed when the process was killed. */
  readonly halfRemoved: number
  /** Temporary files and folders at most seen at once, and after the end of the runs. */
  readonly mostLeftovers: number
  readonly leftoversAtEnd: number
}

const kinds = ['train-network', 'fine-tune'] as const
type Kind = (typeof kinds)[number]

/** @throws when a state with a manifest is not whole, a run ends with other bits, or a process fails by itself */
export async function killWhileTraining(options: TrainingKillOptions): Promise<TrainingKillReport> {
  const { program, folder, kills, seed, steps = 16, mostPerRun = 12, onProgress = () => {} } = options
  const { model, data } = await writeTinyFiles(folder)
  const random = uniform(seed)
  const start = (kind: Kind, output: string, resume: string | null): Training => {
    const threads = String(1 + Math.floor(random() * 4))
    const args = [
      '--pretrained_model_name_or_path',
      model,
      ...data[kind],
      '--output_dir',
      output,
      '--output_name',
      'run',
    ]
    const training = ['--max_train_steps', String(steps), '--seed', '7', '--optimizer_type', 'AdamW']
    const saving = ['--save_every_n_steps', '1', '--save_state', '--save_last_n_steps', '2']
    const own =
      kind === 'train-network' ? ['--network_dropout', '0.2', '--cache_latents'] : ['--save_model_as', 'safetensors']
    const going = resume === null ? [] : ['--resume', resume]
    return startTraining(program, [kind, threads, ...args, ...training, ...saving, ...own, ...going], steps)
  }
  const alone = new Map<Kind, { readonly end: readonly Buffer[]; readonly pace: Pace }>()
  /** One kill in five comes while the model is loaded, two while something is saved, two at any time after the beginning. */
  const momentOf = ({ loading, step, saving }: Pace, left: number): Moment => {
    const which = random()
    if (which < 0.2) return { begun: false, steps: 0, milliseconds: random() * loading }
    if (which < 0.6 && left > 0)
      return { begun: true, steps: 1 + Math.floor(random() * Math.min(left, 4)), milliseconds: random() * saving }
    return { begun: true, steps: 0, milliseconds: random() * Math.min(left + 1, 5) * step }
  }
  const count = {
    ...{ killsBeforeSteps: 0, killsInSaves: 0, killsInSteps: 0, runs: 0, resumed: 0, begunAgain: 0, wholeStates: 0 },
    ...{ halfRemoved: 0, mostLeftovers: 0, leftoversAtEnd: 0 },
  }
  let killed = 0
  for (let run = 0; killed < kills; run++) {
    const kind = kinds[run % kinds.length]!
    if (!alone.has(kind)) {
      const output = join(folder, `alone-${kind}`)
      const training = start(kind, output, null)
      await training.end()
      alone.set(kind, { end: await lastTensors(output), pace: training.pace() })
    }
    const { end, pace } = alone.get(kind)!
    const output = join(folder, `run-${run}`)
    let [ended, killsOfRun] = [false, 0]
    let done = 0
    for (let resume: string | null = null; !ended; ) {
      const training = start(kind, output, resume)
      const mayKill = killed < kills && killsOfRun < mostPerRun
      const outcome = mayKill ? await training.kill(momentOf(pace, steps - done)) : await training.end()
      if (outcome === null) {
        ended = true
        continue
      }
      killed++
      killsOfRun++
      count[outcome]++
      const found = await lookAt(output)
      resume = found.newest
      done = found.step
      count.wholeStates += found.whole
      count.halfRemoved = Math.max(count.halfRemoved, found.halfRemoved)
      count.mostLeftovers = Math.max(count.mostLeftovers, found.leftovers)
      if (resume === null) count.begunAgain++
      else count.resumed++
      onProgress(`kill ${killed} of ${kills}: ${kind}, ${outcome}, goes on from ${resume ?? 'the start'}`)
    }
    const found = await lastTensors(output)
    const same = found.map((bytes, i) => bytes.equals(end[i]!))
    if (same.includes(false)) throw new Error(`run ${run} (${kind}) ended with other bits than the run left alone`)
    count.leftoversAtEnd += (await lookAt(output)).leftovers
    count.runs++
    onProgress(`run ${run}: ${kind} ended with the bits of the run left alone`)
  }
  return { kills: killed, ...count }
}

type Found = 'killsBeforeSteps' | 'killsInSaves' | 'killsInSteps'

/** When a process is killed: so long after it began or was started, and after it has done so many steps. */
interface Moment {
  readonly begun: boolean
  readonly steps: number
  readonly milliseconds: number
}

/** How long a run takes, in milliseconds: until its first step begins; a step with what is saved after it; that saving alone. */
interface Pace {
  readonly loading: number
  readonly step: number
  readonly saving: number
}

interface Training {
  /** Waits for the end. */
  end(): Promise<null>
  /** Null: it had ended before. */
  kill(moment: Moment): Promise<Found | null>
  /** Of what has been seen so far. */
  pace(): Pace
}

type Line = { readonly word: string; readonly step: number; readonly at: number }

function startTraining(program: string, args: readonly string[], steps: number): Training {
  const started = performance.now()
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const lines: Line[] = []
  const [told, errors] = [new EventEmitter(), [] as string[]]
  createInterface({ input: child.stdout }).on('line', (line) => {
    const [word, step] = line.split(' ') as [string, string?]
    lines.push({ word, step: Number(step ?? 0), at: performance.now() - started })
    told.emit('line')
  })
  child.stderr.on('data', (data: Buffer) => errors.push(data.toString()))
  const closed = new Promise<NodeJS.Signals | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) =>
      code === 0 || signal === 'SIGKILL'
        ? resolve(signal)
        : reject(new Error(`the training ended with ${code ?? signal}: ${errors.join('')}`)),
    )
  })
  const linesOf = (word: string): Line[] => lines.filter((line) => line.word === word)
  const seen = async (word: string, count: number): Promise<void> => {
    while (linesOf(word).length < count) await once(told, 'line')
  }
  return {
    end: async () => {
      await closed
      return null
    },
    kill: async ({ begun, steps: after, milliseconds }) => {
      const wait = async (): Promise<void> => {
        if (begun) await seen('start', 1)
        await seen('step', after)
        await setTimeout(milliseconds)
      }
      await Promise.race([wait(), closed])
      child.kill('SIGKILL')
      if ((await closed) === null) return null
      const done = linesOf('step').at(-1)?.step
      if (done === undefined) return 'killsBeforeSteps'
      return done === steps || done > (linesOf('state').at(-1)?.step ?? 0) ? 'killsInSaves' : 'killsInSteps'
    },
    pace: () => {
      const [loading, ...done] = [...linesOf('start'), ...linesOf('step')].map(({ at }) => at)
      const saves = linesOf('step').map(({ step, at }) => linesOf('state').find((line) => line.step === step)!.at - at)
      return { loading: loading!, step: (done.at(-1)! - loading!) / done.length, saving: Math.max(...saves) }
    },
  }
}

/** What a killed process left in its output folder. */
async function lookAt(output: string) {
  const names = await readdir(output).catch(() => [])
  let [whole, halfRemoved, step] = [0, 0, 0]
  let newest: string | null = null
  for (const name of names.filter((each) => each.endsWith('-state'))) {
    const folder = join(output, name)
    const files = stateFiles(folder)
    if ((await stat(files.manifest).catch(() => null)) === null) {
      halfRemoved++
      continue
    }
    const { position } = await readManifest(folder)
    for (const path of [files.parameters, files.optimizer]) await (await openSafetensors(path)).close()
    whole++
    if (position.step < step) continue
    step = position.step
    newest = folder
  }
  return { newest, step, whole, halfRemoved, leftovers: names.filter((name) => name.startsWith('.')).length }
}

/** Bytes of the tensors of the last file and of the last state: weights, and moments. Headers hold times. */
async function lastTensors(output: string): Promise<Buffer[]> {
  const { parameters, optimizer } = stateFiles(join(output, 'run-state'))
  return Promise.all(
    [join(output, 'run.safetensors'), parameters, optimizer].map(async (path) => {
      const bytes = await readFile(path)
      return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)))
    }),
  )
}
