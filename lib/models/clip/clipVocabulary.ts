import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { brotliDecompress } from 'node:zlib'
import { readAsset } from '../../util/assets.ts'
import { CheckpointError } from '../../util/errors.ts'

/** CLIP's byte-pair encoding: the merge rules in order of rank, and the vocabulary that follows from them. */
export interface ClipVocabulary {
  /** Pairs of symbols, `'i n'`. */
  readonly merges: readonly string[]
  /** 49,408 tokens to ids: bytes, bytes that end a word, merged symbols, start and end. */
  readonly ids: ReadonlyMap<string, number>
}

export const BOS_TOKEN = '<|startoftext|>'
export const EOS_TOKEN = '<|endoftext|>'

const ASSET = 'clipMerges.txt.br'
const SHA256 = '9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a'

/**
 * Loads the merge rules that the package ships and builds the vocabulary, as in CLIP's own tokenizer.
 *
 * @throws CheckpointError when the shipped file is not the expected one
 */
export async function loadClipVocabulary(): Promise<ClipVocabulary> {
  const text = await unpack(await readAsset(ASSET))
  const found = createHash('sha256').update(text).digest('hex')
  if (found !== SHA256) {
    const message = `expected merge rules with the SHA-256 ${SHA256}, found ${found}; install noisewright again`
    throw new CheckpointError(ASSET, message)
  }
  const merges = text.toString('utf8').split('\n').slice(1, -1)
  const bytes = byteSymbols()
  const tokens = [
    ...bytes,
    ...bytes.map((symbol) => `${symbol}</w>`),
    ...merges.map((pair) => pair.replace(' ', '')),
    BOS_TOKEN,
    EOS_TOKEN,
  ]
  return { merges, ids: new Map(tokens.map((token, id) => [token, id])) }
}

async function unpack(compressed: Uint8Array): Promise<Buffer> {
  try {
    return await promisify(brotliDecompress)(compressed)
  } catch (error) {
    throw new CheckpointError(ASSET, 'cannot unpack the merge rules; install noisewright again', { cause: error })
  }
}

/**
 * One printable character for each byte, in order of their ids: GPT-2's table. Bytes that are printable in Latin-1 stand
 * for themselves and come first; the others follow as U+0100 and up.
 */
function byteSymbols(): string[] {
  const isPrintable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
  const bytes = Array.from({ length: 256 }, (_, byte) => byte)
  const printable = bytes.filter(isPrintable).map((byte) => String.fromCharCode(byte))
  const others = bytes.filter((byte) => !isPrintable(byte)).map((_, index) => String.fromCharCode(256 + index))
  return [...printable, ...others]
}
