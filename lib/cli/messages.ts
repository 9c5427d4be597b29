/** What a training tells people, besides its progress and its errors: on the console, or in a file. */
import { type AppendFile, openAppendFile } from '../io/appendFile.ts'
import type { CliHost } from './host.ts'

/** From what is told of a training that goes well to what is not meant to happen. */
export type MessageKind = 'report' | 'note' | 'warning'

export interface MessageOptions {
  /** The least that is told. Default: everything; `error` is nothing but errors. */
  readonly level?: 'info' | 'warning' | 'error' | undefined
  /** File for the messages in place of the console; one that exists is replaced. Default: none. */
  readonly file?: string | null | undefined
}

const ranks = { report: 0, note: 0, warning: 1 } as const
const least = { info: 0, warning: 1, error: 2 } as const

export class Messages {
  readonly #host: CliHost
  readonly #least: number
  readonly #file: AppendFile | null
  #last: Promise<void> = Promise.resolve()
  #failed = false

  /** @throws IoError when the file cannot be made */
  static async open(host: CliHost, { level = 'info', file = null }: MessageOptions = {}): Promise<Messages> {
    return new Messages(host, least[level], file === null ? null : await openAppendFile(file, { existing: 'replace' }))
  }

  private constructor(host: CliHost, least: number, file: AppendFile | null) {
    this.#host = host
    this.#least = least
    this.#file = file
  }

  /** Whether a message of this kind would appear among other lines of the console. */
  showsOnConsole(kind: MessageKind): boolean {
    return this.#file === null && ranks[kind] >= this.#least
  }

  write(kind: MessageKind, lines: readonly string[]): void {
    if (ranks[kind] < this.#least || lines.length === 0) return
    const text = lines.map((line) => `${line}\n`).join('')
    if (this.#file === null) {
      const { stdout, stderr } = this.#host
      const stream = kind === 'report' ? stdout : stderr
      stream.write(text)
    } else this.#last = this.#file.append(new TextEncoder().encode(text)).catch((error: unknown) => this.#fail(error))
  }

  /** A file that cannot be written on stops no training. */
  #fail(error: unknown): void {
    if (this.#failed) return
    this.#failed = true
    this.#host.stderr.write(`warning: messages are missing in the file: ${(error as Error).message}\n`)
  }

  async close(): Promise<void> {
    await this.#last
    await this.#file?.close()
  }
}
