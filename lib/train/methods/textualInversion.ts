import type { ClipTokenizer } from '../../models/clip/tokenizer.ts'
import type { StableDiffusion } from '../../models/stableDiffusion/stableDiffusion.ts'
import type { InversionNetwork, InversionParameter } from '../../networks/inversionNetwork.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { CaptionEncoder } from '../inputs/conditioning.ts'
import type { BatchKey } from '../step/noise.ts'
import type { StepMethod } from '../step/trainingStep.ts'
import { type InversionOptions, startInversion } from './inversionStart.ts'
import { type TemplateKind, templateCaptions } from './inversionTemplates.ts'

/** Trains the embeddings of one new token (Gal et al., arXiv 2208.01618); text encoder and U-Net stay as they are. */
export class TextualInversionMethod implements StepMethod {
  /** The rows, and how they are saved. */
  readonly network: InversionNetwork
  /** About where the rows start. */
  readonly warnings: readonly string[]
  readonly #encoder: CaptionEncoder
  readonly #template: TemplateKind | null
  readonly #seed: number | bigint

  /** Errors as for `startInversion`. */
  constructor(
    { textEncoder }: Pick<StableDiffusion, 'textEncoder'>,
    tokenizer: ClipTokenizer,
    options: InversionOptions,
  ) {
    const { network, warnings } = startInversion(textEncoder, tokenizer, options, false)
    this.network = network
    this.warnings = warnings
    this.#template = options.template ?? null
    this.#seed = options.seed
    this.#encoder = new CaptionEncoder(network.tokenizers[0]!, textEncoder, options.captions)
  }

  parameters(): readonly InversionParameter[] {
    return this.network.parameters()
  }

  condition(captions: readonly string[], key: BatchKey): Tensor {
    const { token } = this.network
    const texts = this.#template ? templateCaptions(this.#template, token, captions.length, this.#seed, key) : captions
    return this.#encoder.encode(texts)
  }

  dispose(): void {
    this.network.dispose()
  }
}
