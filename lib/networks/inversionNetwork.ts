/**
 * Learned token embeddings beside the frozen table of a text encoder: textual inversion, and with rows for every cross-attention
 * layer its extension (see textualInversion.ts).
 */
import type { ClipTextModel } from '../models/clip/textModel.ts'
import { type ClipTokenizer, VOCABULARY_SIZE } from '../models/clip/tokenizer.ts'
import { tensor } from '../tensor/create.ts'
import { keep } from '../tensor/scope.ts'
import { formatShape } from '../tensor/shape.ts'
import type { DeviceName, Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { type EmbeddingRows, type TextualInversion, type XtiLayer, xtiLayers } from './textualInversion.ts'

/** Rows to be trained. */
export interface InversionParameter {
  readonly name: 'emb_params'
  readonly master: Tensor
}

export interface InversionNetworkOptions {
  /** The text in captions and prompts that stands for the rows, wherever it occurs in this spelling. */
  readonly token: string
  /** Whether there are rows for each cross-attention layer. */
  readonly layered: boolean
}

/** Rows that a text encoder knows as one more token, until they are disposed. */
export class InversionNetwork {
  readonly token: string
  readonly layered: boolean
  /** Vectors that the token stands for, for each layer where there are rows of its own. */
  readonly vectorCount: number
  /** [vectors, d], or [16 * vectors, d], all rows of one layer before those of the next. */
  readonly rows: Tensor
  /** One, or one for each cross-attention layer: in its texts the token stands for the rows of that layer. */
  readonly tokenizers: readonly ClipTokenizer[]
  readonly #textEncoder: ClipTextModel
  readonly #before: Tensor | null

  /**
   * @param rows float32, as `rows` below; the network's from then on
   * @throws ArgumentError for an empty token, and rows that do not fit the text encoder
   */
  constructor(
    textEncoder: ClipTextModel,
    tokenizer: ClipTokenizer,
    rows: Tensor,
    { token, layered }: InversionNetworkOptions,
  ) {
    const { hiddenSize, vocabSize } = textEncoder.config
    const sets = layered ? xtiLayers.length : 1
    if (rows.rank !== 2 || rows.dim(1) !== hiddenSize || rows.dim(0) % sets !== 0) {
      const expected = `of shape [${layered ? '16 * ' : ''}n, ${hiddenSize}]`
      throw new ArgumentError('InversionNetwork', 'rows', expected, formatShape(rows.shape))
    }
    if (vocabSize !== VOCABULARY_SIZE) {
      const expected = `one of ${VOCABULARY_SIZE} tokens, as the tokenizer has`
      throw new ArgumentError('InversionNetwork', 'textEncoder', expected, String(vocabSize))
    }
    this.token = token
    this.layered = layered
    this.vectorCount = rows.dim(0) / sets
    this.tokenizers = Array.from({ length: sets }, (_, set) => {
      const first = VOCABULARY_SIZE + set * this.vectorCount
      return tokenizer.withTokens([{ text: token, ids: Array.from({ length: this.vectorCount }, (_, i) => first + i) }])
    })
    this.rows = rows
    this.#textEncoder = textEncoder
    this.#before = textEncoder.addedEmbedding
    textEncoder.addedEmbedding = rows
  }

  /** What an optimizer is given; all else of the text encoder stays as it is. */
  parameters(): readonly InversionParameter[] {
    return [{ name: 'emb_params', master: this.rows }]
  }

  /** The rows as `writeTextualInversion` takes them. */
  async toFile(): Promise<EmbeddingRows | ReadonlyMap<XtiLayer, EmbeddingRows>> {
    const values = (await this.rows.read()) as Float32Array
    const shape = [this.vectorCount, this.rows.dim(1)] as const
    if (!this.layered) return { shape, values }
    const size = shape[0] * shape[1]
    return new Map(
      xtiLayers.map((layer, at) => [layer, { shape, values: values.subarray(at * size, (at + 1) * size) }]),
    )
  }

  /** Takes the rows off the text encoder, which then has those it had before, and frees them. */
  dispose(): void {
    if (this.#textEncoder.addedEmbedding === this.rows) this.#textEncoder.addedEmbedding = this.#before
    this.rows.dispose()
  }
}

/** The rows of a file in one piece, as `InversionNetwork` takes them. */
export function rowsOf(inversion: TextualInversion, device: DeviceName): Tensor {
  const parts = inversion.kind === 'layers' ? xtiLayers.map((layer) => inversion.layers.get(layer)!) : [inversion.rows]
  const [count, width] = parts[0]!.shape
  const values = new Float32Array(parts.length * count * width)
  parts.forEach((part, at) => {
    values.set(part.values, at * count * width)
  })
  return keep(tensor(values, [parts.length * count, width], { device }))
}

/**
 * Attaches what a file holds to a text encoder, for pictures:
 *
 *   const inversion = attachInversion(await readTextualInversion('frog.pt', config.textEncoder), textEncoder, tokenizer, 'frog')
 *   await samplePicture(models, inversion.tokenizers, prompt, options)
 *   inversion.dispose()
 *
 * @param token what stands for it in prompts
 * @throws ArgumentError for an empty token, and rows of another width than the text encoder's
 */
export function attachInversion(
  inversion: TextualInversion,
  textEncoder: ClipTextModel,
  tokenizer: ClipTokenizer,
  token: string,
): InversionNetwork {
  const rows = rowsOf(inversion, textEncoder.registry.device)
  try {
    return new InversionNetwork(textEncoder, tokenizer, rows, { token, layered: inversion.kind === 'layers' })
  } catch (error) {
    rows.dispose()
    throw error
  }
}
