/** Kills a process again and again while it saves, and looks at what it leaves. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { writeSafetensors } from '../../lib/io/safetensors.ts'
import { uniform } from './seededNumbers.ts'
import { versionTensors, wholeVersion } from './versionedFile.ts'

export interface KillOptions {
  /** The compiled `savingChild.ts`. */
  readonly program: string
  /** The file to be saved over and over; a first version is written. Its folder must hold nothing else. */
  readonly path: string
  readonly kills: number
  /** Of the moments. */
  readonly seed: number
  /** Size of the file. Default: 4. */
  readonly mebibytes?: number
}

/** What was found after the kills. All files found were whole. */
export interface KillReport {
  readonly kills: number
  /** Kills between the beginning and the end of a save: the name held the old version, or already the new one. */
  readonly oldFound: number
  readonly newFound: number
  /** Kills between two saves. */
  readonly between: number
  /** Kills that left a temporary file. */
  readonly leftovers: number
  /** Temporary files at most seen at once, and after one more save. */
  readonly mostLeftovers: number
  readonly leftoversAtEnd: number
  /** Saves that were completed. */
  readonly saves: number
}

/**
 * @throws when a killed save leaves a file that is not whole, a version that is neither the last completed one nor the one under way,
 *   or a file of another kind in the folder
 */
export async function killWhileSaving(options: KillOptions): Promise<KillReport> {
  const { program, path, kills, seed, mebibytes = 4 } = options
  const random = uniform(seed)
  const save = (version: number): Promise<number> =>
    writeSafetensors(path, versionTensors(version, mebibytes), { metadata: { version: String(version) } })
  await save(0)
  const count = { oldFound: 0, newFound: 0, between: 0, leftovers: 0, mostLeftovers: 0, saves: 0 }
  let version = 0
  let saveMs = 50
  for (let kill = 0; kill < kills; kill++) {
    const child = startSaving(program, path, version + 1, mebibytes)
    const begun = await child.started
    await setTimeout(random() * 2 * saveMs)
    const { started, done, firstSaveMs } = await child.kill(begun)
    if (firstSaveMs !== null) saveMs = firstSaveMs
    const last = Math.max(version, done)
    const found = await wholeVersion(path, mebibytes)
    if (found !== last && found !== started) {
      throw new Error(`kill ${kill}: found version ${found}, expected ${last} or ${started}`)
    }
    if (started === done) count.between++
    else if (found === started) count.newFound++
    else count.oldFound++
    count.saves += Math.max(0, done - version)
    version = Math.max(found, last)
    const left = await leftoversBeside(path)
    if (left > 0) count.leftovers++
    count.mostLeftovers = Math.max(count.mostLeftovers, left)
  }
  await save(version + 1)
  await wholeVersion(path, mebibytes)
  return { kills, ...count, leftoversAtEnd: await leftoversBeside(path) }
}

async function leftoversBeside(path: string): Promise<number> {
  const others = (await readdir(dirname(path))).filter((name) => name !== basename(path))
  const strange = others.filter((name) => !/^\.noisewright-.*\.tmp$/.test(name))
  if (strange.length > 0) throw new Error(`unexpected files: ${strange.join(', ')}`)
  return others.length
}

interface SavingProcess {
  /** Resolves when the first save begins. */
  readonly started: Promise<number>
  kill(begun: number): Promise<{
    /** The last versions whose save began and ended; 0 for none. */
    readonly started: number
    readonly done: number
    readonly firstSaveMs: number | null
  }>
}

function startSaving(program: string, path: string, version: number, mebibytes: number): SavingProcess {
  const child: ChildProcess = spawn(process.execPath, [program, path, String(version), String(mebibytes)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
  let text = ''
  let doneAt: number | null = null
  const started = new Promise<number>((resolve, reject) => {
    closed.then(() => reject(new Error(`the saving process ended by itself: ${text}`)))
    child.stdout!.on('data', (data: Buffer) => {
      if (text === '') resolve(performance.now())
      text += data.toString()
      if (doneAt === null && text.includes('done')) doneAt = performance.now()
    })
  })
  const lastOf = (word: string): number =>
    Number([...text.matchAll(new RegExp(`${word} (\\d+)\n`, 'g'))].at(-1)?.[1] ?? 0)
  return {
    started,
    kill: async (begun) => {
      child.kill('SIGKILL')
      await closed
      return { started: lastOf('start'), done: lastOf('done'), firstSaveMs: doneAt === null ? null : doneAt - begun }
    },
  }
}
