/**
 * The header of an AVIF file: boxes of ISO/IEC 23008-12 (HEIF). The primary item's `ispe` gives the stored size, its `clap` the
 * part that is shown, `irot` and `imir` how it is turned. The decoder applies all of these; EXIF does not count (MIAF 7.3.7).
 */
import type { HeaderReader, Orientation, StoredHeader } from './headerReader.ts'

/** The box `meta` has some hundred bytes, more for pictures made of many tiles. */
const mostMetaBytes = 1 << 20

interface Box {
  readonly kind: string
  readonly body: Buffer
}

/** Whether the start of a file (its box `ftyp`) announces AVIF, still or animated. */
export function isAvif(start: Buffer): boolean {
  if (start.length < 16 || start.toString('latin1', 4, 8) !== 'ftyp') return false
  const end = Math.min(start.readUInt32BE(0), start.length)
  for (let at = 8; at + 4 <= end; at += at === 8 ? 8 : 4) {
    if (['avif', 'avis'].includes(start.toString('latin1', at, at + 4))) return true
  }
  return false
}

export async function readAvif(reader: HeaderReader): Promise<StoredHeader> {
  let meta: Buffer | undefined
  let offset = 0
  let looksComplete = true
  while (offset + 8 <= reader.size) {
    reader.countPart()
    const head = await reader.read(offset, Math.min(16, reader.size - offset))
    const kind = head.toString('latin1', 4, 8)
    let length = head.readUInt32BE(0)
    if (length === 1 && head.length === 16) length = Number(head.readBigUInt64BE(8))
    else if (length === 0) length = reader.size - offset
    if (length < 8) throw reader.damaged(`an AVIF box of ${length} bytes at byte ${offset}`)
    if (kind === 'meta' && meta === undefined) {
      if (length > mostMetaBytes) throw reader.damaged(`an AVIF box "meta" of ${length} bytes`)
      meta = await reader.read(offset + 8, length - 8)
    }
    offset += length
    if (offset > reader.size) looksComplete = false
  }
  if (meta === undefined) throw reader.damaged('the AVIF has no box "meta"')
  try {
    return { ...primaryItem(meta.subarray(4)), turnedByDecoder: true, looksComplete }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw reader.damaged('an AVIF box ends early')
  }
}

function boxesOf(bytes: Buffer): Box[] {
  const boxes: Box[] = []
  for (let offset = 0; offset + 8 <= bytes.length; ) {
    const length = bytes.readUInt32BE(offset) || bytes.length - offset
    if (length < 8 || offset + length > bytes.length) throw new RangeError('box length')
    boxes.push({
      kind: bytes.toString('latin1', offset + 4, offset + 8),
      body: bytes.subarray(offset + 8, offset + length),
    })
    offset += length
  }
  return boxes
}

function bodyOf(boxes: readonly Box[], kind: string): Buffer {
  const box = boxes.find((candidate) => candidate.kind === kind)
  if (box === undefined) throw new RangeError(`no box ${kind}`)
  return box.body
}

function primaryItem(meta: Buffer): { width: number; height: number; orientation: Orientation } {
  const boxes = boxesOf(meta)
  const pitm = bodyOf(boxes, 'pitm')
  const primary = pitm[0] === 0 ? pitm.readUInt16BE(4) : pitm.readUInt32BE(4)
  const containers = boxesOf(bodyOf(boxes, 'iprp'))
  const properties = boxesOf(bodyOf(containers, 'ipco'))
  let size: { width: number; height: number } | undefined
  let orientation: Orientation = 1
  for (const index of associations(bodyOf(containers, 'ipma'), primary)) {
    const { kind, body } = properties[index - 1] ?? { kind: '', body: Buffer.alloc(0) }
    if (kind === 'ispe') size = { width: body.readUInt32BE(4), height: body.readUInt32BE(8) }
    // A clean aperture: width and height as fractions, then the offset of its centre.
    else if (kind === 'clap')
      size = {
        width: Math.round(body.readUInt32BE(0) / body.readUInt32BE(4)),
        height: Math.round(body.readUInt32BE(8) / body.readUInt32BE(12)),
      }
    else if (kind === 'irot')
      for (let turn = body.readUInt8(0) & 3; turn > 0; turn--) orientation = turnLeft[orientation]
    else if (kind === 'imir') orientation = ((body.readUInt8(0) & 1) === 1 ? mirror : flip)[orientation]
  }
  if (size === undefined) throw new RangeError('no box ispe')
  return { ...size, orientation }
}

/** Numbers (from 1) of the properties of an item, in the order in which they apply. */
function associations(ipma: Buffer, item: number): number[] {
  const isWide = (ipma[3]! & 1) === 1
  let at = 8
  for (let left = ipma.readUInt32BE(4); left > 0; left--) {
    const id = ipma[0] === 0 ? ipma.readUInt16BE(at) : ipma.readUInt32BE(at)
    at += ipma[0] === 0 ? 2 : 4
    const count = ipma.readUInt8(at++)
    const indices = Array.from({ length: count }, (_, i) =>
      isWide ? ipma.readUInt16BE(at + i * 2) & 0x7fff : ipma.readUInt8(at + i) & 0x7f,
    )
    if (id === item) return indices
    at += count * (isWide ? 2 : 1)
  }
  return []
}

type Turns = Readonly<Record<Orientation, Orientation>>
/** What an orientation becomes when the picture so turned is turned once more. */
const turnLeft: Turns = { 1: 8, 8: 3, 3: 6, 6: 1, 2: 5, 5: 4, 4: 7, 7: 2 }
const mirror: Turns = { 1: 2, 2: 1, 3: 4, 4: 3, 5: 6, 6: 5, 7: 8, 8: 7 }
const flip: Turns = { 1: 4, 4: 1, 2: 3, 3: 2, 5: 8, 8: 5, 6: 7, 7: 6 }
