/** How the writing of a model goes, and its interruption. */
import type { EntryProgress } from '../checkpoints/modelEntries.ts'
import type { HubProgress } from '../hub/hubSnapshot.ts'
import { exitCodes } from '../util/errors.ts'
import { formatBytes } from './format.ts'
import type { CliHost } from './host.ts'
import { listenForInterrupts } from './interrupts.ts'

/** What a conversion takes from the command line. */
export interface FileWork {
  readonly signal: AbortSignal
  readonly onProgress: (progress: EntryProgress) => void
  readonly hub: { readonly signal: AbortSignal; readonly onProgress: (progress: HubProgress) => void }
}

/** Milliseconds between two reports. */
const interval = { terminal: 100, other: 10_000 } as const

/**
 * Runs something that writes a file, with its progress on stderr: one line that changes on a terminal, a line now and then elsewhere.
 *
 * @returns the exit code: ok, or interrupted, when nothing has been written
 */
export async function runFileWork(host: CliHost, work: (options: FileWork) => Promise<void>): Promise<number> {
  const { stderr } = host
  const report = reporter(host)
  const interrupts = listenForInterrupts(host, {
    onFirst: () => report('stopping; nothing is written', true),
    onSecond: () => {},
  })
  const { signal } = interrupts
  const share = (verb: string, done: number, total: number): void =>
    report(`${verb}: ${formatBytes(done)} of ${formatBytes(total)}`, done >= total)
  try {
    await work({
      signal,
      onProgress: ({ done, total }) => share('writing', done, total),
      hub: { signal, onProgress: (event) => share(`downloading ${event.file}`, event.receivedBytes, event.totalBytes) },
    })
    return exitCodes.ok
  } catch (error) {
    if (!signal.aborted) throw error
    return exitCodes.interrupted
  } finally {
    if (stderr.isTTY) stderr.write('\r\x1b[K')
    interrupts.stop()
  }
}

/** Lines about the download of a model: on a terminal the last one ends when its file is whole. */
export function downloadLines(host: CliHost): (progress: HubProgress) => void {
  const report = reporter(host)
  return ({ file, receivedBytes, totalBytes }) => {
    const isWhole = receivedBytes >= totalBytes
    report(`downloading ${file}: ${formatBytes(receivedBytes)} of ${formatBytes(totalBytes)}`, isWhole)
    if (isWhole && host.stderr.isTTY) host.stderr.write('\n')
  }
}

function reporter({ stderr }: CliHost): (line: string, due: boolean) => void {
  let last = Number.NEGATIVE_INFINITY
  return (line, due) => {
    const now = performance.now()
    if (!due && now - last < (stderr.isTTY ? interval.terminal : interval.other)) return
    last = now
    stderr.write(stderr.isTTY ? `\r\x1b[K${line}` : `${line}\n`)
  }
}
