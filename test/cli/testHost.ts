import { EventEmitter } from 'node:events'
import { Writable } from 'node:stream'
import type { CliHost, TextStream } from '../../lib/cli/host.ts'

/** A stream that keeps what was written to it. */
export class TestStream extends Writable {
  text = ''
  constructor(
    readonly isTTY = false,
    readonly columns = 100,
  ) {
    super({ decodeStrings: false })
  }

  override _write(chunk: string, _encoding: string, done: () => void): void {
    this.text += chunk
    done()
  }

  get lines(): readonly string[] {
    return this.text.split('\n').slice(0, -1)
  }
}

export interface TestHost extends CliHost {
  readonly stdout: TestStream & TextStream
  readonly stderr: TestStream & TextStream
  readonly signals: EventEmitter
  /** Codes that `exit` was called with. */
  readonly exits: readonly number[]
}

/** A process for the command line to run in, without one. */
export function makeTestHost({ isTTY = false } = {}): TestHost {
  const exits: number[] = []
  return {
    stdout: new TestStream(isTTY),
    stderr: new TestStream(isTTY),
    signals: new EventEmitter(),
    exit: (code) => {
      exits.push(code)
    },
    exits,
  }
}
