/** Where learned embeddings start from: rows of a file, of words, or random numbers. */
import { noGrad } from '../../autograd/tape.ts'
import type { ClipTextModel } from '../../models/clip/textModel.ts'
import type { ClipTokenizer } from '../../models/clip/tokenizer.ts'
import { InversionNetwork, rowsOf } from '../../networks/inversionNetwork.ts'
import { type TextualInversion, xtiLayers } from '../../networks/textualInversion.ts'
import { streamOf } from '../../nn/init.ts'
import { cast } from '../../ops/cast.ts'
import { embedding } from '../../ops/embedding.ts'
import { randomNormal, tensor } from '../../tensor/create.ts'
import { keep, scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ConfigError } from '../../util/errors.ts'
import type { CaptionEncoderOptions } from '../inputs/conditioning.ts'
import type { TemplateKind } from './inversionTemplates.ts'

/** What is learned, in the terms of the command line. */
export interface InversionOptions {
  /** `token_string`: what stands for it in captions. Must be no token of the vocabulary. */
  readonly token: string
  /** `num_vectors_per_token`. Default 1. */
  readonly vectorCount?: number
  /** `init_word`: the rows start as those of its tokens. Null, the default: as N(0, 1) numbers. */
  readonly initWord?: string | null
  /** `weights`, as `readTextualInversion` gave them: where the rows start, whatever the initial word. Default null. */
  readonly weights?: TextualInversion | null
  /** Captions in place of those of the pictures. Default null: the pictures' own. */
  readonly template?: TemplateKind | null
  /** Of random initial rows and the choice of templates. */
  readonly seed: number | bigint
  readonly captions: CaptionEncoderOptions
}

export interface InversionStart {
  /** Attached to the text encoder, its rows recorded. */
  readonly network: InversionNetwork
  readonly warnings: readonly string[]
}

/**
 * Makes the rows to be trained and attaches them.
 * @param layered whether each cross-attention layer has rows of its own
 * @throws ConfigError for a token that is known already, a count that is none, an initial word without letters, and weights of
 * another kind or count
 */
export function startInversion(
  textEncoder: ClipTextModel,
  tokenizer: ClipTokenizer,
  options: InversionOptions,
  layered: boolean,
): InversionStart {
  const { token, vectorCount = 1 } = options
  const room = options.captions.sequenceLength - 2
  if (!Number.isInteger(vectorCount) || vectorCount < 1 || vectorCount > room)
    throw new ConfigError(
      `num_vectors_per_token: expected a whole number from 1 to ${room}, the tokens of a caption, found ${vectorCount}`,
      { option: 'num_vectors_per_token' },
    )
  expectNewToken(tokenizer, token, vectorCount, layered)
  const warnings: string[] = []
  const rows = initialRows(textEncoder, tokenizer, options, layered, warnings)
  rows.requiresGrad = true
  try {
    return { network: new InversionNetwork(textEncoder, tokenizer, rows, { token, layered }), warnings }
  } catch (error) {
    rows.dispose()
    throw error
  }
}

/** The names that the vectors have elsewhere (S, S1, S2, ..., and S_IN01, ... for layers) must be free in the vocabulary. */
function expectNewToken(tokenizer: ClipTokenizer, token: string, vectorCount: number, layered: boolean): void {
  const option = { option: 'token_string' }
  if (token.trim() === '')
    throw new ConfigError(`token_string: expected the name of what is learned, found ${JSON.stringify(token)}`, option)
  const names = Array.from({ length: vectorCount }, (_, i) => (i === 0 ? token : `${token}${i}`))
  const all = layered ? [...names, ...xtiLayers.flatMap((layer) => names.map((name) => `${name}_${layer}`))] : names
  const known = all.find((name) => tokenizer.knows(name))
  if (known !== undefined)
    throw new ConfigError(
      `token_string: expected a name that is no token yet, found ${JSON.stringify(token)}: the vocabulary has "${known}"; ` +
        `choose another, for example "my${token}"`,
      option,
    )
}

function initialRows(
  textEncoder: ClipTextModel,
  tokenizer: ClipTokenizer,
  options: InversionOptions,
  layered: boolean,
  warnings: string[],
): Tensor {
  const { vectorCount = 1, initWord = null, weights = null, seed } = options
  const { device } = textEncoder.registry
  const count = vectorCount * (layered ? xtiLayers.length : 1)
  if (weights !== null) {
    if (initWord !== null) warnings.push('init_word has no effect: the rows start as those of the weights file')
    expectWeights(weights, vectorCount, layered)
    return rowsOf(weights, device)
  }
  if (initWord === null) {
    warnings.push(
      'the new rows start as N(0, 1) numbers, some 70 times the size of rows of words; give init_word, a word for something alike',
    )
    const shape = [count, textEncoder.config.hiddenSize]
    return keep(randomNormal(shape, { seed, stream: streamOf('emb_params'), device }))
  }
  const ids = tokenizer.encode(initWord)
  if (ids.length === 0)
    throw new ConfigError(`init_word: expected a word, found ${JSON.stringify(initWord)}`, { option: 'init_word' })
  if (ids.length > 1 && ids.length !== vectorCount)
    warnings.push(
      `init_word "${initWord}" has ${ids.length} tokens for ${vectorCount} vectors: ` +
        (ids.length > vectorCount ? 'the last are left out' : 'they are repeated'),
    )
  const chosen = Int32Array.from({ length: count }, (_, row) => ids[(row % vectorCount) % ids.length]!)
  return noGrad(() =>
    keep(
      scope(() =>
        cast(embedding(tensor(chosen, [count], { device }), textEncoder.tokenEmbedding), { dtype: 'float32' }),
      ),
    ),
  )
}

function expectWeights(weights: TextualInversion, vectorCount: number, layered: boolean): void {
  const option = { option: 'weights' }
  const isLayered = weights.kind === 'layers'
  if (isLayered !== layered) {
    const kinds = ['rows of one token', `rows for each of ${xtiLayers.length} layers`]
    const [expected, found] = layered ? kinds.toReversed() : kinds
    throw new ConfigError(`weights: expected a file with ${expected}, found ${found}`, option)
  }
  const rows = weights.kind === 'layers' ? weights.layers.get('MID')! : weights.rows
  const [found] = rows.shape
  if (found !== vectorCount)
    throw new ConfigError(
      `weights: expected ${vectorCount} vectors (num_vectors_per_token), found ${found}; set num_vectors_per_token to ${found} to go on ` +
        'from this file',
      option,
    )
}
