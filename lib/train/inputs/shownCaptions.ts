/** What captions of a training are encoded as, told without a model: for a look at its data, and for its plan. */
import { type CaptionOptions, longestCaptions } from '../../data/captions.ts'
import { encodeWeighted, parseCaptionWeights } from '../../models/clip/captionWeights.ts'
import { tokenCounter } from '../../models/clip/tokenCounter.ts'
import {
  type ClipTokenizer,
  type ClipTokenizerVariant,
  loadClipTokenizer,
  VOCABULARY_SIZE,
} from '../../models/clip/tokenizer.ts'
import { templateCaptions, templates } from '../methods/inversionTemplates.ts'
import type { BatchKey } from '../step/noise.ts'
import type { TextualInversionConfig, TrainConfig } from '../trainConfig.ts'
import { tokenizerVariant } from '../trainingData.ts'

/** What of a configuration captions depend on. */
export type CaptionedConfig = Pick<TrainConfig, 'model'> & {
  readonly data: Pick<TrainConfig['data'], 'weightedCaptions'>
} & Partial<Pick<TextualInversionConfig, 'inversion'>>

export interface ShownCaptions {
  /** Tokens of a caption that are used: 75, 150 or 225. */
  readonly limit: number
  /** The texts that are encoded for a batch: its captions, or sentences in their place. */
  ofBatch(captions: readonly string[], key: BatchKey): readonly string[]
  /** The tokens of a text, all of them, as texts. Brackets that weigh words are none. */
  tokensOf(text: string): readonly string[]
  readonly variant: ClipTokenizerVariant
  /** How many tokens a use of a picture with this caption has at most. */
  count(caption: string, options: CaptionOptions): number
}

/** @param seed of the training, which chooses sentences */
export async function showCaptions(config: CaptionedConfig, seed: number | bigint): Promise<ShownCaptions> {
  const { model, data, inversion } = config
  const tokenizer = withLearned(await loadClipTokenizer({ variant: await tokenizerVariant(config) }), inversion)
  const { tokenString = '', template = null } = inversion ?? {}
  const isWeighted = data.weightedCaptions === true
  const countPlain = tokenCounter(tokenizer)
  const countText = (text: string): number =>
    isWeighted ? parseCaptionWeights(text).reduce((sum, piece) => sum + countPlain(piece.text), 0) : countPlain(text)
  const longest =
    template === null ? 0 : Math.max(...templates[template].map((head) => countText(`${head} ${tokenString}`)))
  return {
    limit: model.maxTokenLength ?? 75,
    ofBatch: (captions, key) =>
      template === null ? captions : templateCaptions(template, tokenString, captions.length, seed, key),
    tokensOf(text) {
      const ids = isWeighted ? encodeWeighted(tokenizer, text) : tokenizer.encode(text)
      return ids.map((id) => tokenizer.decode([id]))
    },
    variant: tokenizer.variant,
    count: (caption, options) =>
      template === null ? Math.max(...longestCaptions(caption, options).map(countText)) : longest,
  }
}

/** The tokenizer with what is learned as one more token of as many ids as it has vectors. */
function withLearned(tokenizer: ClipTokenizer, inversion: CaptionedConfig['inversion']): ClipTokenizer {
  const { tokenString: text = '', vectorCount = 1 } = inversion ?? {}
  if (text === '') return tokenizer
  return tokenizer.withTokens([{ text, ids: Array.from({ length: vectorCount }, (_, i) => VOCABULARY_SIZE + i) }])
}
