import { exitCodes } from '../util/errors.ts'
import type { CliHost } from './host.ts'

const signals = ['SIGINT', 'SIGTERM'] as const

export interface Interrupts {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal
  /** Stops listening. */
  stop(): void
}

export interface InterruptListeners {
  /** Called after the abort. */
  readonly onFirst: () => void
  /** Called before the process ends. */
  readonly onSecond: () => void
}

/** Turns the first SIGINT or SIGTERM into an abort; a second one ends the process at once. */
export function listenForInterrupts(host: CliHost, { onFirst, onSecond }: InterruptListeners): Interrupts {
  const controller = new AbortController()
  const listener = (): void => {
    if (controller.signal.aborted) {
      onSecond()
      host.exit(exitCodes.interrupted)
      return
    }
    controller.abort()
    onFirst()
  }
  for (const signal of signals) host.signals.on(signal, listener)
  return {
    signal: controller.signal,
    stop: () => {
      for (const signal of signals) host.signals.off(signal, listener)
    },
  }
}
