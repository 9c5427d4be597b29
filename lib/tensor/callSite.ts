/**
 * Ops run after the call that enqueued them has returned. So that a late failure can name that call, each op call leaves an Error
 * object (its stack is formatted only when read) in a ring, under the number that travels with the native work.
 */
import { addon } from '../native/load.ts'
import { NativeError, OutOfMemoryError } from '../util/errors.ts'
import { packageRoot } from '../util/packageRoot.ts'

const ringSize = 4096
/** Enough to get from an op through the layers of lib/nn and lib/models; each costs a third of a microsecond in every call. */
const rememberedFrames = 8
const ring = new Array<{ sequence: number; site: Error } | undefined>(ringSize)
let sequence = 0

/**
 * Called by every op before it enqueues.
 *
 * @param site of an earlier call, in whose name this one is made: a backward pass names the forward call, and saves the capture,
 *   which is the dearest part of an op's JavaScript. Default: captured here
 * @returns the call site
 */
export function markCall(site: Error = shared ?? capture()): Error {
  sequence++
  ring[sequence % ringSize] = { sequence, site }
  addon.mark(sequence)
  return site
}

/** In whose name all calls under way are made, if they share one. */
let shared: Error | null = null

/**
 * Runs `body`, all of whose calls are made in the name of the line that called this function's caller: a network's thousand calls
 * need one capture then.
 *
 * @param site of an earlier call to name instead
 */
export function atCallSite<T>(body: () => T, site: Error = callSite()): T {
  const before = shared
  shared = site
  try {
    return body()
  } finally {
    shared = before
  }
}

/** What calls made now are named after. */
export function callSite(): Error {
  return shared ?? capture()
}

function capture(): Error {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = rememberedFrames
  const site = new Error()
  Error.stackTraceLimit = limit
  return site
}

/** Where this library's own code is: the folders below the one that calls ops, or the bundle. */
const inside = ['lib/ops/', 'lib/autograd/', 'lib/tensor/', 'lib/native/', 'dist/'].map(
  (folder) => `${packageRoot()}/${folder}`,
)

/** The first stack line outside this library's own folders, if the call is still remembered. */
function callerOf(number: number): string | undefined {
  const entry = ring[number % ringSize]
  if (entry?.sequence !== number) return undefined
  const lines = entry.site.stack?.split('\n').slice(1) ?? []
  const outside = lines.find((line) => !inside.some((folder) => line.replaceAll('\\', '/').includes(folder)))
  return (outside ?? lines[0])?.trim()
}

interface NativeFailure extends Error {
  code?: string
  sequence?: number
  op?: string
  driverCode?: string
}

/** What the addon threw or rejected with, as this library's error class, with the line that enqueued the failed op. */
export function nativeFailure(error: unknown): Error {
  const failure = error as NativeFailure
  const site = failure.sequence === undefined ? undefined : callerOf(failure.sequence)
  const text = site === undefined ? failure.message : `${failure.message}\n    enqueued ${site}`
  const options = { cause: error, op: failure.op, driverCode: failure.driverCode }
  return failure.code === 'ERR_OUT_OF_MEMORY' ? new OutOfMemoryError(text, options) : new NativeError(text, options)
}
