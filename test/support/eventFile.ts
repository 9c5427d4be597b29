/** Reads TensorBoard's event files apart from the code that writes them. */
import { readFile } from 'node:fs/promises'
import { expect } from 'vitest'

/** CRC-32C bit by bit, apart from the library the writer uses. */
function maskedCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  crc = ~crc >>> 0
  const rotated = ((crc >>> 15) | (crc << 17)) >>> 0
  return (rotated + 0xa282ead8) % 2 ** 32
}

type Field = { readonly number: number; readonly value: bigint | Buffer }

/** The fields of a protobuf message. */
function parseFields(message: Buffer): Field[] {
  const fields: Field[] = []
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++]!
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  while (at < message.length) {
    const key = Number(varint())
    const wire = key & 7
    if (wire === 0) fields.push({ number: key >> 3, value: BigInt.asIntN(64, varint()) })
    else {
      const length = wire === 2 ? Number(varint()) : wire === 1 ? 8 : 4
      fields.push({ number: key >> 3, value: message.subarray(at, at + length) })
      at += length
    }
  }
  return fields
}

/** One record: scalars are `[tag, value]`. */
export interface LoggedEvent {
  readonly wallTime: number
  readonly step: bigint | undefined
  readonly version: string | undefined
  readonly scalars: readonly (readonly [string, number])[]
  readonly images: readonly LoggedPicture[]
  /** Undefined where there are none. */
  readonly texts?: readonly LoggedText[] | undefined
}

interface LoggedText {
  readonly tag: string
  readonly plugin: string
  readonly dtype: number
  readonly text: string
}

interface LoggedPicture {
  readonly tag: string
  readonly width: number
  readonly height: number
  readonly colorspace: number
  readonly png: Buffer
}

function bytesOf(fields: readonly Field[], number: number): Buffer | undefined {
  return fields.find((field) => field.number === number)?.value as Buffer | undefined
}

function numberOf(fields: readonly Field[], number: number): number {
  return Number(fields.find((field) => field.number === number)?.value)
}

function parseEvent(message: Buffer): LoggedEvent {
  const fields = parseFields(message)
  const summary = bytesOf(fields, 5)
  const values = (summary === undefined ? [] : parseFields(summary)).map(({ number, value }) => {
    expect(number).toBe(1)
    const parts = parseFields(value as Buffer)
    const [scalar, image, tensor, metadata] = [2, 4, 8, 9].map((field) => bytesOf(parts, field))
    return { tag: bytesOf(parts, 1)!.toString('utf8'), scalar, image, tensor, metadata }
  })
  const texts = values.flatMap(({ tag, tensor, metadata }): LoggedText[] => {
    if (tensor === undefined || metadata === undefined) return []
    const [parts, plugin] = [parseFields(tensor), parseFields(bytesOf(parseFields(metadata), 1)!)]
    const size = bytesOf(parseFields(bytesOf(parts, 2)!), 2)!
    expect(numberOf(parseFields(size), 1)).toBe(1)
    const text = bytesOf(parts, 8)!.toString('utf8')
    return [{ tag, plugin: bytesOf(plugin, 1)!.toString('utf8'), dtype: numberOf(parts, 1), text }]
  })
  return {
    ...(texts.length > 0 && { texts }),
    wallTime: bytesOf(fields, 1)!.readDoubleLE(0),
    step: fields.find(({ number }) => number === 2)?.value as bigint | undefined,
    version: bytesOf(fields, 3)?.toString('utf8'),
    scalars: values.flatMap(({ tag, scalar }) => (scalar === undefined ? [] : [[tag, scalar.readFloatLE(0)] as const])),
    images: values.flatMap(({ tag, image }) => {
      if (image === undefined) return []
      const parts = parseFields(image)
      const [height, width, colorspace] = [1, 2, 3].map((number) => numberOf(parts, number))
      return [{ tag, width: width!, height: height!, colorspace: colorspace!, png: bytesOf(parts, 4)! }]
    }),
  }
}

/** The records of a TensorBoard event file, checksums checked. */
export async function readEvents(path: string): Promise<LoggedEvent[]> {
  const file = await readFile(path)
  const events: LoggedEvent[] = []
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at))
    expect(file.readUInt32LE(at + 8)).toBe(maskedCrc(file.subarray(at, at + 8)))
    const message = file.subarray(at + 12, at + 12 + length)
    expect(file.readUInt32LE(at + 12 + length)).toBe(maskedCrc(message))
    events.push(parseEvent(message))
    at += length + 16
  }
  return events
}
