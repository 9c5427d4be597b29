/** Picture files and folders of them, made on the spot in a temporary folder. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, extname, join } from 'node:path'
import sharp from 'sharp'
import { afterAll } from 'vitest'

/** RGB noise that depends on the size only, [h, w, 3]. */
export function noisePixels(width: number, height: number): Uint8Array {
  let state = width * 65537 + height
  return Uint8Array.from({ length: width * height * 3 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state >>> 24
  })
}

/** A picture of noise as the bytes of a file; the extension tells the format. */
export async function encodePicture(extension: string, width: number, height: number): Promise<Buffer> {
  const pixels = noisePixels(width, height)
  if (extension === '.bmp') return encodeBmp(pixels, width, height)
  const image = sharp(pixels, { raw: { width, height, channels: 3 } })
  if (extension === '.png') return image.png().toBuffer()
  if (extension === '.webp') return image.webp({ lossless: true }).toBuffer()
  if (extension === '.avif') return image.avif({ lossless: true, effort: 0 }).toBuffer()
  return image.jpeg({ quality: 95 }).toBuffer()
}

/** 24-bit BMP: rows bottom to top, blue first, each row padded to 4 bytes. */
export function encodeBmp(pixels: Uint8Array, width: number, height: number): Buffer {
  const rowBytes = Math.ceil((width * 3) / 4) * 4
  const file = Buffer.alloc(54 + rowBytes * height)
  file.write('BM')
  file.writeUInt32LE(file.length, 2)
  file.writeUInt32LE(54, 10)
  file.writeUInt32LE(40, 14)
  file.writeInt32LE(width, 18)
  file.writeInt32LE(height, 22)
  file.writeUInt16LE(1, 26)
  file.writeUInt16LE(24, 28)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [r, g, b] = pixels.subarray((y * width + x) * 3)
      file.set([b!, g!, r!], 54 + (height - 1 - y) * rowBytes + x * 3)
    }
  }
  return file
}

/** What a file of a test folder holds: a picture of a size, or text, or bytes. */
export type FileContent = readonly [width: number, height: number] | string | Uint8Array

/** A temporary folder with these files (paths inside it), removed after the tests of the calling file. */
export async function makeFolder(files: Readonly<Record<string, FileContent>> = {}): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'noisewright-data-'))
  temporary.push(folder)
  await addFiles(folder, files)
  return folder
}

export async function addFiles(folder: string, files: Readonly<Record<string, FileContent>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name)
    await mkdir(dirname(path), { recursive: true })
    const isSize = Array.isArray(content)
    const bytes = isSize ? await encodePicture(extname(name).toLowerCase(), content[0], content[1]) : content
    await writeFile(path, bytes as string | Uint8Array)
  }
}

const temporary: string[] = []
afterAll(async () => {
  for (const folder of temporary.splice(0)) await rm(folder, { recursive: true, force: true })
})
