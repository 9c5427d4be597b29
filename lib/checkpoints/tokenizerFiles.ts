/** The tokenizer of a diffusers folder: kept from the source, or made from the vocabulary that the package ships. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readSmallFile } from '../io/jsonFile.ts'
import { systemErrorCode, toIoError } from '../io/systemError.ts'
import { BOS_TOKEN, EOS_TOKEN, loadClipVocabulary } from '../models/clip/clipVocabulary.ts'

/** Files by their names in `tokenizer/`. */
export type TokenizerFiles = ReadonlyMap<string, Uint8Array>

const fileNames: readonly string[] = [
  'vocab.json',
  'merges.txt',
  'special_tokens_map.json',
  'tokenizer_config.json',
  'added_tokens.json',
  'tokenizer.json',
]

/** The largest of them, `tokenizer.json`, has 3.6 MB for CLIP's vocabulary. */
const MAX_FILE_BYTES = 32 << 20

/**
 * Reads the files of a tokenizer as they are.
 *
 * @returns empty when there is no such folder
 * @throws IoError when a file cannot be read; CheckpointError when one is far too large
 */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles> {
  const present: readonly string[] = await readdir(folder).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return []
    throw toIoError(folder, 'read the folder', error)
  })
  const files = new Map<string, Uint8Array>()
  for (const name of fileNames)
    if (present.includes(name)) files.set(name, await readSmallFile(join(folder, name), MAX_FILE_BYTES))
  return files
}

/**
 * The four files of CLIP's tokenizer as the published models have them. 1.x pads with the end token, 2.x with `!`.
 *
 * @throws CheckpointError when the shipped vocabulary is damaged
 */
export async function makeTokenizerFiles(version: 1 | 2): Promise<TokenizerFiles> {
  const { merges, ids } = await loadClipVocabulary()
  const padToken = version === 1 ? EOS_TOKEN : '!'
  const special = (content: string) => ({
    content,
    lstrip: false,
    normalized: true,
    rstrip: false,
    single_word: false,
  })
  const tokens = { bos_token: special(BOS_TOKEN), eos_token: special(EOS_TOKEN), pad_token: padToken }
  const typed = (content: string) => ({ __type: 'AddedToken', ...special(content) })
  const texts: Readonly<Record<string, string>> = {
    // A Map's order, not an object's: tokens that look like numbers would come first.
    'vocab.json': `{${Array.from(ids, ([token, id]) => `${JSON.stringify(token)}:${id}`).join(',')}}\n`,
    'merges.txt': `#version: 0.2\n${merges.join('\n')}\n`,
    'special_tokens_map.json': json({ ...tokens, unk_token: special(EOS_TOKEN) }),
    'tokenizer_config.json': json({
      add_prefix_space: false,
      bos_token: typed(BOS_TOKEN),
      do_lower_case: true,
      eos_token: typed(EOS_TOKEN),
      errors: 'replace',
      model_max_length: 77,
      pad_token: padToken,
      tokenizer_class: 'CLIPTokenizer',
      unk_token: typed(EOS_TOKEN),
    }),
  }
  return new Map(Object.entries(texts).map(([name, text]) => [name, new TextEncoder().encode(text)]))
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
