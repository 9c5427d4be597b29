import { noGrad } from '../autograd/tape.ts'
import { tokenizeWeighted } from '../models/clip/captionWeights.ts'
import { type ClipTokenizer, TOKEN_ROW_LENGTH } from '../models/clip/tokenizer.ts'
import { weightedStates } from '../models/clip/weightedStates.ts'
import type { StableDiffusion } from '../models/stableDiffusion/stableDiffusion.ts'
import { keep } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** Rows of 75 tokens that a prompt may fill; what is longer is cut. */
const maxChunks = 3

export interface EncodePromptsOptions {
  /** Hidden state of the text encoder, counted from the end. Default 1. */
  readonly clipSkip?: number
  /** Changes prompts, positive and negative, before their brackets are read: a learned word into its vectors' words. */
  readonly expandPrompt?: (prompt: string) => string
  /** Told when a prompt has more tokens than can be drawn. Default: nobody. */
  readonly onWarning?: (message: string) => void
}

/**
 * Hidden states of prompts whose brackets weigh words, [prompts, 77 * chunks, d], all of as many chunks as the longest needs. In both
 * versions free places are end tokens, which is not how version 2 is trained.
 * @returns the caller's
 */
export function encodePrompts(
  { textEncoder, unet }: Pick<StableDiffusion, 'textEncoder' | 'unet'>,
  tokenizer: ClipTokenizer,
  prompts: readonly string[],
  { clipSkip = 1, expandPrompt = (prompt) => prompt, onWarning = () => {} }: EncodePromptsOptions = {},
): Tensor {
  const tokens = tokenizeWeighted(tokenizer, prompts.map(expandPrompt), maxChunks)
  const limit = maxChunks * (TOKEN_ROW_LENGTH - 2)
  tokens.cut.forEach((cut, i) => {
    if (cut > 0)
      onWarning(
        `a prompt has ${limit + cut} tokens; the last ${cut} are not drawn, since there is room for ${limit}: "${prompts[i]!.slice(0, 80)}…"`,
      )
  })
  return noGrad(() => keep(weightedStates(textEncoder, tokens, { clipSkip, dtype: unet.registry.dtype })))
}
