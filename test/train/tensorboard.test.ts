import * as fs from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openEventWriter } from '../../lib/train/tensorboard.ts'
import { DisposedError, IoError } from '../../lib/util/errors.ts'

let folder: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'noisewright-events-'))
})
afterEach(async () => {
  await fs.rm(folder, { recursive: true, force: true })
})

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

interface Event {
  readonly wallTime: number
  readonly step: bigint | undefined
  readonly version: string | undefined
  readonly scalars: readonly (readonly [string, number])[]
}

function parseEvent(message: Buffer): Event {
  const fields = parseFields(message)
  const bytes = (list: Field[], number: number): Buffer | undefined =>
    list.find((field) => field.number === number)?.value as Buffer | undefined
  const summary = bytes(fields, 5)
  const values = summary === undefined ? [] : parseFields(summary)
  return {
    wallTime: bytes(fields, 1)!.readDoubleLE(0),
    step: fields.find(({ number }) => number === 2)?.value as bigint | undefined,
    version: bytes(fields, 3)?.toString('utf8'),
    scalars: values.map(({ number, value }) => {
      expect(number).toBe(1)
      const parts = parseFields(value as Buffer)
      return [bytes(parts, 1)!.toString('utf8'), bytes(parts, 2)!.readFloatLE(0)] as const
    }),
  }
}

async function readEvents(path: string): Promise<Event[]> {
  const file = await fs.readFile(path)
  const events: Event[] = []
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

describe('openEventWriter', () => {
  it('writes the version record and scalars that decode again', async () => {
    let time = 1700000000.25
    const writer = await openEventWriter(join(folder, 'run', 'network_train'), { now: () => time++ })
    await writer.scalars(1, { 'loss/current': 0.5, 'lr/unet': 1e-4 })
    await writer.scalars(300, { 'loss/épochè': 0.25 })
    await writer.close()
    const events = await readEvents(writer.path)
    expect(events).toEqual([
      { wallTime: expect.any(Number), step: undefined, version: 'brain.Event:2', scalars: [] },
      {
        wallTime: expect.any(Number),
        step: 1n,
        version: undefined,
        scalars: [
          ['loss/current', 0.5],
          ['lr/unet', Math.fround(1e-4)],
        ],
      },
      { wallTime: expect.any(Number), step: 300n, version: undefined, scalars: [['loss/épochè', 0.25]] },
    ])
    expect(events[2]!.wallTime - events[1]!.wallTime).toBe(1)
  })

  it('names the file after time, host and process, and never twice the same', async () => {
    const now = (): number => 1700000000.75
    const first = await openEventWriter(folder, { now })
    const second = await openEventWriter(folder, { now })
    const start = `events.out.tfevents.1700000000.${hostname()}.${process.pid}.`
    expect(basename(first.path).startsWith(start)).toBe(true)
    expect(basename(first.path).slice(start.length)).toMatch(/^\d+$/)
    expect(second.path).not.toBe(first.path)
    await first.close()
    await second.close()
  })

  it('has every record in the file as soon as its call resolves', async () => {
    const writer = await openEventWriter(folder)
    for (let step = 0; step < 3; step++) {
      await writer.scalars(step, { loss: step })
      expect(await readEvents(writer.path)).toHaveLength(step + 2)
    }
    await writer.close()
  })

  it('keeps the order of calls that are not awaited, and finishes them on close', async () => {
    const writer = await openEventWriter(folder)
    const calls = Array.from({ length: 50 }, (_, step) => writer.scalars(step, { loss: 1 / (step + 1) }))
    await writer.close()
    await Promise.all(calls)
    const steps = (await readEvents(writer.path)).slice(1).map(({ step }) => Number(step))
    expect(steps).toEqual(Array.from({ length: 50 }, (_, i) => i))
  })

  it('writes values beyond float32 and NaN as the nearest thing a plot can show', async () => {
    const writer = await openEventWriter(folder)
    await writer.scalars(-1, { large: 1e300, nan: Number.NaN })
    await writer.close()
    const [, event] = await readEvents(writer.path)
    expect(event).toMatchObject({
      step: -1n,
      scalars: [
        ['large', Infinity],
        ['nan', Number.NaN],
      ],
    })
  })

  it('refuses use after close and a folder that cannot be made', async () => {
    const writer = await openEventWriter(folder)
    await writer.close()
    await writer.close()
    await expect(writer.scalars(1, { loss: 1 })).rejects.toThrow(DisposedError)
    await expect(openEventWriter(join(writer.path, 'below a file'))).rejects.toThrow(IoError)
  })
})
