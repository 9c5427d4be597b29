/**
 * Every error this library throws on purpose. Each carries a stable `code`, the facts as fields, and a message that says
 * what was expected, what was found, and what to do.
 */

/** Exit codes of the command line, one for each family of errors. Documented in README.md. */
export const exitCodes = {
  ok: 0,
  unexpected: 1,
  usage: 2,
  data: 3,
  checkpoint: 4,
  io: 5,
  native: 6,
  diverged: 7,
  interrupted: 130,
} as const

export type ErrorCode =
  | 'ERR_ARGUMENT'
  | 'ERR_DISPOSED'
  | 'ERR_CONFIG'
  | 'ERR_DATA'
  | 'ERR_CHECKPOINT'
  | 'ERR_IO'
  | 'ERR_HUB'
  | 'ERR_NATIVE'
  | 'ERR_DIVERGED'
  | 'ERR_OUT_OF_MEMORY'

export abstract class NoisewrightError extends Error {
  abstract readonly code: ErrorCode
  abstract readonly exitCode: number
}

/** A call the caller can mend: a wrong shape, dtype, rank, device, layout or option value. */
export class ArgumentError extends NoisewrightError {
  override readonly name = 'ArgumentError'
  readonly code: ErrorCode = 'ERR_ARGUMENT'
  readonly exitCode = exitCodes.usage
  constructor(
    readonly op: string,
    readonly argument: string,
    readonly expected: string,
    readonly received: string,
  ) {
    super(`${op}: ${argument} must be ${expected}, received ${received}`)
  }
}

/** A tensor (or another native resource) was used after it was disposed. */
export class DisposedError extends NoisewrightError {
  override readonly name = 'DisposedError'
  readonly code = 'ERR_DISPOSED' as const
  readonly exitCode = exitCodes.usage
}

export interface ConfigErrorDetails {
  /** The configuration file, if the value came from one. */
  readonly file?: string | undefined
  /** 1-based position in the file. */
  readonly line?: number | undefined
  readonly column?: number | undefined
  /** The option's name, or its path in the file: `datasets[0].subsets[1].keep_tokens`. */
  readonly option?: string | undefined
}

/** A wrong option on the command line or in a configuration file. */
export class ConfigError extends NoisewrightError {
  override readonly name = 'ConfigError'
  readonly code = 'ERR_CONFIG' as const
  readonly exitCode = exitCodes.usage
  constructor(
    message: string,
    readonly details: ConfigErrorDetails = {},
    options?: ErrorOptions,
  ) {
    const { file, line, column } = details
    const place = file === undefined ? '' : line === undefined ? `${file}: ` : `${file}:${line}:${column ?? 1}: `
    super(place + message, options)
  }
}

/** Training data that cannot be used: a missing folder, an undecodable image, a caption that is not UTF-8. */
export class DataError extends NoisewrightError {
  override readonly name = 'DataError'
  readonly code = 'ERR_DATA' as const
  readonly exitCode = exitCodes.data
  constructor(
    readonly path: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(`${path}: ${message}`, options)
  }
}

/** A model, LoRA or other tensor file that is damaged or is not what was asked for. */
export class CheckpointError extends NoisewrightError {
  override readonly name = 'CheckpointError'
  readonly code = 'ERR_CHECKPOINT' as const
  readonly exitCode = exitCodes.checkpoint
  constructor(
    readonly path: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(`${path}: ${message}`, options)
  }
}

/** How much room a file needs and how much its folder has, in bytes. */
export interface SpaceShortage {
  readonly folder: string
  readonly neededBytes: number
  readonly availableBytes: number
}

/** The operating system refused a file operation: disk full, no permission, no such folder. */
export class IoError extends NoisewrightError {
  override readonly name = 'IoError'
  readonly code = 'ERR_IO' as const
  readonly exitCode = exitCodes.io
  /** Set when a file was not begun because there is too little room for it. */
  readonly space: SpaceShortage | undefined
  constructor(
    readonly path: string,
    message: string,
    options?: ErrorOptions & { readonly space?: SpaceShortage },
  ) {
    super(`${path}: ${message}`, options)
    this.space = options?.space
  }
}

/** Why a model hub did not give what was asked for. */
export type HubFailure =
  /** No connection, or one that kept breaking off. */
  | 'network'
  /** 401 or 403: no token, a refused one, or one that may not read this. */
  | 'access'
  /** The repository's licence has to be accepted first. */
  | 'gated'
  /** No such repository, revision or file. */
  | 'notFound'
  /** 429, still after the retries. */
  | 'rateLimited'
  /** 5xx, still after the retries. */
  | 'server'
  /** An answer that breaks the protocol or that is not safe to act on. */
  | 'answer'
  /** Nothing may be downloaded, and the cache lacks something. */
  | 'offline'

export interface HubErrorDetails {
  readonly reason: HubFailure
  /** Without query and credentials. */
  readonly url?: string | undefined
  /** The HTTP status, if there was an answer. */
  readonly status?: number | undefined
}

/** A model hub, or the way to it, refused; `id` is what was asked for. */
export class HubError extends NoisewrightError {
  override readonly name = 'HubError'
  readonly code = 'ERR_HUB' as const
  readonly exitCode = exitCodes.io
  constructor(
    readonly id: string,
    message: string,
    readonly details: HubErrorDetails,
    options?: ErrorOptions,
  ) {
    super(`${id}: ${message}`, options)
  }
}

export interface NativeErrorDetails {
  /** The operation that failed, if it was one. */
  readonly op?: string | undefined
  /** The CUDA driver's name for what went wrong, where it was the driver that refused: CUDA_ERROR_ILLEGAL_ADDRESS. */
  readonly driverCode?: string | undefined
}

/** The addon could not be loaded, or an operation failed on the device after it was enqueued. */
export class NativeError extends NoisewrightError {
  override readonly name: string = 'NativeError'
  readonly code: ErrorCode = 'ERR_NATIVE'
  readonly exitCode = exitCodes.native
  readonly op: string | undefined
  readonly driverCode: string | undefined
  constructor(message: string, options?: ErrorOptions & NativeErrorDetails) {
    super(message, options)
    this.op = options?.op
    this.driverCode = options?.driverCode
  }
}

/** A training's losses, gradients or weights are no longer finite. Files written before are as they were. */
export class DivergenceError extends NoisewrightError {
  override readonly name = 'DivergenceError'
  readonly code = 'ERR_DIVERGED' as const
  readonly exitCode = exitCodes.diverged
  constructor(
    message: string,
    /** Where it was seen: parameters whose gradient or value was not finite. */
    readonly parameters: readonly string[],
    /** Paths of the pictures of the step, where a step showed it. */
    readonly pictures: readonly string[] = [],
  ) {
    super(message)
  }
}

/** The device could not provide the memory an operation asked for. The device stays usable. */
export class OutOfMemoryError extends NativeError {
  override readonly name = 'OutOfMemoryError'
  override readonly code = 'ERR_OUT_OF_MEMORY'
}
