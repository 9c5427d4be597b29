import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { toIoError } from '../io/systemError.ts'
import { DisposedError } from '../util/errors.ts'

export interface EventWriterOptions {
  /** Seconds since 1970 of each record; a test passes its own. Default: the system clock. */
  readonly now?: () => number
}

/** Writes a TensorBoard event file. Every call has reached the operating system when its promise resolves. */
export interface EventWriter {
  readonly path: string
  /** One record with a value per tag. `step` is the x-axis: a whole number, negative ones allowed. */
  scalars(step: number, values: Readonly<Record<string, number>>): Promise<void>
  /** Waits for pending records, flushes them to the disk and closes the file. A second call does nothing. */
  close(): Promise<void>
}

/** Files of one process need distinct names even within one second. */
let fileCount = 0

/**
 * Creates an event file, `events.out.tfevents.<seconds>.<host>.<process>.<n>`, in a folder that is made if missing.
 *
 * Format: records of the length (u64), the masked CRC-32C of those 8 bytes, a protobuf `Event`, and the masked CRC-32C of
 * that (tensorflow/core/lib/io/record_writer.cc, tensorflow/core/util/event.proto).
 *
 * @throws IoError when the folder or the file cannot be made or written
 */
export async function openEventWriter(folder: string, options: EventWriterOptions = {}): Promise<EventWriter> {
  const { now = () => Date.now() / 1000 } = options
  const encode = await loadEncoder()
  const name = ['events.out.tfevents', Math.floor(now()), hostname(), process.pid, `${fileCount++}`].join('.')
  const path = join(folder, name)
  let file: FileHandle | undefined
  try {
    await mkdir(folder, { recursive: true })
    file = await open(path, 'ax')
    await writeWhole(file, encode.version(now()))
  } catch (error) {
    await file?.close()
    throw toIoError(path, 'write an event file', error)
  }

  // Records are written one after the other, in the order of the calls; a failed one does not stop the next.
  let last: Promise<unknown> = Promise.resolve()
  return {
    path,
    scalars: async (step, values) => {
      const open = file
      if (open === undefined) throw new DisposedError(`${path}: scalars() was called after close()`)
      const record = encode.scalars(now(), step, values)
      const written = last.then(() => append(open, record))
      last = written.catch(() => {})
      await written.catch((error: unknown) => {
        throw toIoError(path, `append ${record.byteLength} bytes to the event file`, error)
      })
    },
    close: async () => {
      const open = file
      file = undefined
      if (open === undefined) return
      await last
      await open.sync().catch(() => {}) // a file system without fsync has still got the bytes
      await open.close()
    },
  }
}

/** A record that could not be written whole (disk full) is cut off again: readers stop at a torn one. */
async function append(file: FileHandle, record: Uint8Array): Promise<void> {
  const { size } = await file.stat()
  try {
    await writeWhole(file, record)
  } catch (error) {
    await file.truncate(size).catch(() => {})
    throw error
  }
}

async function writeWhole(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.byteLength; ) {
    const { bytesWritten } = await file.write(bytes, offset)
    offset += bytesWritten
  }
}

interface Encoder {
  version(wallTime: number): Uint8Array
  scalars(wallTime: number, step: number, values: Readonly<Record<string, number>>): Uint8Array
}

async function loadEncoder(): Promise<Encoder> {
  const [{ BinaryWriter, WireType }, { crc32c }] = await Promise.all([
    import('@bufbuild/protobuf/wire'),
    import('@node-rs/crc32'),
  ])

  /** Checksums are rotated and shifted, so that a checksum over data that holds checksums stays meaningful. */
  function maskedCrc(bytes: Uint8Array): number {
    const crc = crc32c(bytes) >>> 0
    return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
  }

  function record(event: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(event.byteLength + 16)
    const view = new DataView(bytes.buffer)
    view.setBigUint64(0, BigInt(event.byteLength), true)
    view.setUint32(8, maskedCrc(bytes.subarray(0, 8)), true)
    bytes.set(event, 12)
    view.setUint32(12 + event.byteLength, maskedCrc(event), true)
    return bytes
  }

  return {
    version: (wallTime) => {
      const event = new BinaryWriter().tag(1, WireType.Bit64).double(wallTime)
      return record(event.tag(3, WireType.LengthDelimited).string('brain.Event:2').finish())
    },
    scalars: (wallTime, step, values) => {
      const event = new BinaryWriter().tag(1, WireType.Bit64).double(wallTime)
      event.tag(2, WireType.Varint).int64(step)
      event.tag(5, WireType.LengthDelimited).fork()
      for (const [tag, value] of Object.entries(values)) {
        event.tag(1, WireType.LengthDelimited).fork()
        event.tag(1, WireType.LengthDelimited).string(tag)
        // A loss that overflows float32 is shown as infinite; the writer would refuse it.
        event.tag(2, WireType.Bit32).float(Math.fround(value)).join()
      }
      return record(event.join().finish())
    },
  }
}
