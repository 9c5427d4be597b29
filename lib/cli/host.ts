import type { KeySource } from './keys.ts'

/** A stream that text is shown on. */
export type TextStream = NodeJS.WritableStream & {
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
}

/** What the command line needs of the process it runs in; tests give their own. */
export interface CliHost {
  /** What was asked for: reports, saved files, results. */
  readonly stdout: TextStream
  /** Everything about how it goes: progress, notes, warnings, errors. */
  readonly stderr: TextStream
  /** The keyboard, where there is one. */
  readonly keys?: KeySource | undefined
  /** Where `SIGINT` and `SIGTERM` arrive. */
  readonly signals: {
    on(signal: InterruptSignal, listener: () => void): unknown
    off(signal: InterruptSignal, listener: () => void): unknown
  }
  /** Ends the process at once. */
  exit(code: number): void
}

export type InterruptSignal = 'SIGINT' | 'SIGTERM'

/** This process. */
export const processHost: CliHost = {
  stdout: process.stdout,
  stderr: process.stderr,
  keys: process.stdin,
  signals: process,
  exit: (code) => process.exit(code),
}
