import type { ClipTextModel } from '../../models/clip/textModel.ts'
import { type ClipTokenizer, TOKEN_ROW_LENGTH } from '../../models/clip/tokenizer.ts'
import type { StableDiffusion } from '../../models/stableDiffusion/stableDiffusion.ts'
import type { InversionNetwork, InversionParameter } from '../../networks/inversionNetwork.ts'
import { xtiLayers } from '../../networks/textualInversion.ts'
import { cast } from '../../ops/cast.ts'
import { contiguous } from '../../ops/contiguous.ts'
import { slice } from '../../ops/slice.ts'
import { tensor } from '../../tensor/create.ts'
import { scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { ArgumentError, ConfigError } from '../../util/errors.ts'
import type { BatchKey } from '../step/noise.ts'
import type { StepMethod } from '../step/trainingStep.ts'
import { type InversionOptions, startInversion } from './inversionStart.ts'
import { templateCaptions } from './inversionTemplates.ts'

/**
 * Trains embeddings of one new token for each cross-attention layer of the U-Net (Voynov et al., "P+: extended textual conditioning in
 * text-to-image generation", arXiv 2303.09522): every caption is encoded once for each of them, with that layer's rows.
 */
export class XtiMethod implements StepMethod {
  /** The rows, and how they are saved. */
  readonly network: InversionNetwork
  /** About where the rows start. */
  readonly warnings: readonly string[]
  readonly #textEncoder: ClipTextModel
  readonly #options: InversionOptions

  /**
   * @throws ConfigError as for `startInversion`, and for captions of more than 75 tokens
   * @throws ArgumentError for a U-Net with another number of cross-attention layers than 16
   */
  constructor(
    { textEncoder, unet }: Pick<StableDiffusion, 'textEncoder' | 'unet'>,
    tokenizer: ClipTokenizer,
    options: InversionOptions,
  ) {
    const { sequenceLength } = options.captions
    if (sequenceLength !== TOKEN_ROW_LENGTH)
      throw new ConfigError(
        `max_token_length: captions of extended textual inversion have at most 75 tokens, found ${sequenceLength - 2}; leave it out`,
        { option: 'max_token_length' },
      )
    if (unet.crossAttentionCount !== xtiLayers.length) {
      const expected = `with ${xtiLayers.length} cross-attention layers`
      throw new ArgumentError('XtiMethod', 'unet', expected, String(unet.crossAttentionCount))
    }
    const { network, warnings } = startInversion(textEncoder, tokenizer, options, true)
    this.network = network
    this.warnings = warnings
    this.#textEncoder = textEncoder
    this.#options = options
  }

  parameters(): readonly InversionParameter[] {
    return this.network.parameters()
  }

  /** @returns [n, 77, d] for each cross-attention layer, in forward order */
  condition(captions: readonly string[], key: BatchKey): readonly Tensor[] {
    const { template = null, seed } = this.#options
    const { clipSkip, dtype } = this.#options.captions
    const { tokenizers, token } = this.network
    const count = captions.length
    const texts = template ? templateCaptions(template, token, count, seed, key) : captions
    const rows = tokenizers.flatMap((tokenizer) => texts.map((text) => tokenizer.tokenize(text)))
    const ids = Int32Array.from(rows.flatMap((row) => Array.from(row)))
    return scope(() => {
      const { device } = this.#textEncoder.registry
      const hidden = this.#textEncoder.encode(tensor(ids, [rows.length, TOKEN_ROW_LENGTH], { device }), clipSkip)
      const states = cast(hidden, { dtype })
      return tokenizers.map((_, layer) =>
        contiguous(slice(states, { axis: 0, start: layer * count, end: (layer + 1) * count })),
      )
    })
  }

  dispose(): void {
    this.network.dispose()
  }
}
