import { hostname } from 'node:os'
import { join } from 'node:path'
import { openAppendFile } from '../../io/appendFile.ts'

export interface EventWriterOptions {
  /** Seconds since 1970 of each record; a test passes its own. Default: the system clock. */
  readonly now?: () => number
}

/** A picture as it is stored, PNG. */
export interface LoggedImage {
  readonly width: number
  readonly height: number
  readonly png: Uint8Array
}

/** Writes a TensorBoard event file. Every call has reached the operating system when its promise resolves. */
export interface EventWriter {
  readonly path: string
  /** One record with a value per tag. `step` is the x-axis: a whole number, negative ones allowed. */
  scalars(step: number, values: Readonly<Record<string, number>>): Promise<void>
  /** One record with a text in Markdown, at step 0. */
  text(tag: string, markdown: string): Promise<void>
  /** One record with a picture. */
  image(step: number, tag: string, image: LoggedImage): Promise<void>
  /** Waits for pending records, flushes them to the disk and closes the file. A second call does nothing. */
  close(): Promise<void>
}

/** Files of one process need distinct names even within one second. */
let fileCount = 0

/**
 * Creates an event file, `events.out.tfevents.<seconds>.<host>.<process>.<n>`, in a folder that is made if missing.
 *
 * Format: records of the length (u64), the masked CRC-32C of those 8 bytes, a protobuf `Event`, and the masked CRC-32C of
 * that (tensorflow/core/lib/io/record_writer.cc, tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto).
 *
 * @throws IoError when the folder or the file cannot be made or written
 */
export async function openEventWriter(folder: string, options: EventWriterOptions = {}): Promise<EventWriter> {
  const { now = () => Date.now() / 1000 } = options
  const encode = await loadEncoder()
  const name = ['events.out.tfevents', Math.floor(now()), hostname(), process.pid, `${fileCount++}`].join('.')
  const file = await openAppendFile(join(folder, name))
  try {
    await file.append(encode.version(now()))
  } catch (error) {
    await file.close()
    throw error
  }
  return {
    path: file.path,
    scalars: (step, values) => file.append(encode.scalars(now(), step, values)),
    text: (tag, markdown) => file.append(encode.text(now(), tag, markdown)),
    image: (step, tag, image) => file.append(encode.image(now(), step, tag, image)),
    close: () => file.close(),
  }
}

interface Encoder {
  version(wallTime: number): Uint8Array
  scalars(wallTime: number, step: number, values: Readonly<Record<string, number>>): Uint8Array
  text(wallTime: number, tag: string, markdown: string): Uint8Array
  image(wallTime: number, step: number, tag: string, image: LoggedImage): Uint8Array
}

/** `DataType` of tensors of texts. */
const DT_STRING = 7

/** `Summary.Image.colorspace` of red, green and blue. */
const RGB = 3

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

  /** The start of a record with a summary, whose values `add` writes. */
  function summary(
    wallTime: number,
    step: number,
    add: (event: InstanceType<typeof BinaryWriter>) => void,
  ): Uint8Array {
    const event = new BinaryWriter().tag(1, WireType.Bit64).double(wallTime)
    event.tag(2, WireType.Varint).int64(step)
    event.tag(5, WireType.LengthDelimited).fork()
    add(event)
    return record(event.join().finish())
  }

  return {
    version: (wallTime) => {
      const event = new BinaryWriter().tag(1, WireType.Bit64).double(wallTime)
      return record(event.tag(3, WireType.LengthDelimited).string('brain.Event:2').finish())
    },
    scalars: (wallTime, step, values) =>
      summary(wallTime, step, (event) => {
        for (const [tag, value] of Object.entries(values)) {
          event.tag(1, WireType.LengthDelimited).fork()
          event.tag(1, WireType.LengthDelimited).string(tag)
          // A loss that overflows float32 is shown as infinite; the writer would refuse it.
          event.tag(2, WireType.Bit32).float(Math.fround(value)).join()
        }
      }),
    text: (wallTime, tag, markdown) =>
      summary(wallTime, 0, (event) => {
        event.tag(1, WireType.LengthDelimited).fork()
        event.tag(1, WireType.LengthDelimited).string(tag)
        // The metadata that make the text plugin show it, and a tensor of the shape [1].
        event.tag(9, WireType.LengthDelimited).fork().tag(1, WireType.LengthDelimited).fork()
        event.tag(1, WireType.LengthDelimited).string('text').join().join()
        event.tag(8, WireType.LengthDelimited).fork().tag(1, WireType.Varint).int32(DT_STRING)
        event.tag(2, WireType.LengthDelimited).fork().tag(2, WireType.LengthDelimited).fork()
        event.tag(1, WireType.Varint).int64(1).join().join()
        event.tag(8, WireType.LengthDelimited).string(markdown).join().join()
      }),
    image: (wallTime, step, tag, { width, height, png }) =>
      summary(wallTime, step, (event) => {
        event.tag(1, WireType.LengthDelimited).fork()
        event.tag(1, WireType.LengthDelimited).string(tag)
        event.tag(4, WireType.LengthDelimited).fork()
        event.tag(1, WireType.Varint).int32(height).tag(2, WireType.Varint).int32(width)
        event.tag(3, WireType.Varint).int32(RGB).tag(4, WireType.LengthDelimited).bytes(png).join().join()
      }),
  }
}
