import { extname } from 'node:path'
import { CheckpointError } from '../util/errors.ts'
import { type ByteSource, openByteSource } from './byteSource.ts'
import { type FileContent, fileContent } from './fileContent.ts'
import { openSafetensors } from './safetensors.ts'
import type { TensorFile } from './tensorFile.ts'
import { openTorchFile } from './torchFile.ts'

export interface OpenTensorFileOptions {
  /** How the file is opened, for instance as a memory map. Default: positional reads. */
  readonly openSource?: (path: string) => Promise<ByteSource>
}

const torchExtensions: readonly string[] = ['.ckpt', '.pt', '.pth', '.bin']

/**
 * Opens a file of named tensors, safetensors or PyTorch, by its content: extensions are often wrong, and do not matter here.
 * The caller closes it.
 *
 * @returns a `SafetensorsFile` or a `TorchFile`
 * @throws IoError when the file cannot be opened
 * @throws CheckpointError when it is damaged or of another kind; says so when its extension promises something else
 */
export async function openTensorFile(path: string, options: OpenTensorFileOptions = {}): Promise<TensorFile> {
  const { kind, found } = await probe(path, options.openSource ?? openByteSource)
  try {
    if (kind === 'safetensors') return await openSafetensors(path, options)
    if (kind !== 'other' && kind !== 'html' && kind !== 'empty' && kind !== 'gitLfsPointer' && kind !== 'pickle') {
      return await openTorchFile(path, options)
    }
    // What is nearly right gets the message of the reader it was meant for: its header tells where the damage is.
    if (kind === 'other' && extname(path).toLowerCase() === '.safetensors') return await openSafetensors(path, options)
    throw new CheckpointError(path, `expected a safetensors or PyTorch file, found ${found}`)
  } catch (error) {
    throw withExtension(path, kind, found, error)
  }
}

async function probe(
  path: string,
  openSource: (path: string) => Promise<ByteSource>,
): Promise<{ kind: FileContent; found: string }> {
  const source = await openSource(path)
  try {
    return await fileContent(source)
  } finally {
    await source.close()
  }
}

/** Adds to an error that the file's extension promises another format than its content has. */
function withExtension(path: string, kind: FileContent, found: string, error: unknown): unknown {
  const extension = extname(path).toLowerCase()
  const torch = kind === 'zip' || kind === 'legacyTorch' || kind === 'legacyTorchTar' || kind === 'pickle'
  const mismatch =
    (torch && extension === '.safetensors') || (kind === 'safetensors' && torchExtensions.includes(extension))
  if (!mismatch || !(error instanceof CheckpointError) || error.path !== path) return error
  const message = error.message.slice(path.length + 2)
  return new CheckpointError(path, `${message} (the extension is ${extension}, but the content is ${found})`, {
    cause: error,
  })
}
