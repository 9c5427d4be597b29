/** Training of the embeddings of a new word, for the whole U-Net or for each of its cross-attention layers. */
import type { ClipTokenizer } from '../../models/clip/tokenizer.ts'
import type { UNet, UNetContext } from '../../models/stableDiffusion/unet.ts'
import { attachInversion } from '../../networks/inversionNetwork.ts'
import type { SaveFacts } from '../../networks/metadata.ts'
import { readTextualInversion, type TextualInversion, writeTextualInversion } from '../../networks/textualInversion.ts'
import type { OptimizerGroup } from '../../optim/customOptimizer.ts'
import { modelSpec } from '../facts/modelSpec.ts'
import { captionOptions } from '../inputs/conditioning.ts'
import type { PreviewSource, TrainingContext, TrainingKind, TrainingMethod } from '../method.ts'
import type { BatchKey } from '../step/noise.ts'
import type { TextualInversionConfig } from '../trainConfig.ts'
import { refuseCachedCaptions } from './cachedCaptions.ts'
import { inversionCaptionWarnings, templateWarnings } from './inversionCaptions.ts'
import { TextualInversionMethod } from './textualInversion.ts'
import { XtiMethod } from './xti.ts'

/** `train-textual-inversion`: one new word (Gal et al., "An image is worth one word", 2022). */
export const textualInversion = inversionKind('train-textual-inversion', TextualInversionMethod)

/** `train-textual-inversion-xti`: a new word with embeddings for each cross-attention layer (Voynov et al., "P+", 2023). */
export const xti = inversionKind('train-textual-inversion-xti', XtiMethod)

type InversionMethod = TextualInversionMethod | XtiMethod
type MakeMethod = typeof TextualInversionMethod | typeof XtiMethod

function inversionKind(name: string, Method: MakeMethod): TrainingKind<TextualInversionConfig> {
  return {
    name,
    trackerName: 'textual_inversion',
    accepts: { captionDropout: false, network: false },
    trainedParts: () => [],
    trainedGroups: () => ['textencoder'],
    async create(context) {
      const { config, models, tokenizer, seed, group } = context
      refuseCachedCaptions(config, 'what the word of the training is encoded as changes with every step')
      const { tokenString, vectorCount, initWord, weights, template } = config.inversion
      const method = new Method(models, tokenizer, {
        token: tokenString,
        vectorCount,
        initWord,
        weights: weights === null ? null : await readTextualInversion(weights, models.config.textEncoder),
        template,
        seed,
        captions: captionOptions(config, models.unet.registry.dtype),
      })
      try {
        const captions = template === null ? inversionCaptionWarnings(group, tokenString) : templateWarnings(group)
        return new InversionTraining(context, method, captions)
      } catch (error) {
        method.dispose()
        throw error
      }
    },
  }
}

class InversionTraining implements TrainingMethod {
  readonly unet: UNet
  readonly groups: readonly OptimizerGroup[]
  readonly moduleCount = 1
  readonly repeats = true
  readonly extension: string
  readonly warnings: readonly string[]
  readonly #context: TrainingContext<TextualInversionConfig>
  readonly #method: InversionMethod

  constructor(
    context: TrainingContext<TextualInversionConfig>,
    method: InversionMethod,
    captionWarnings: readonly string[],
  ) {
    const { config, models, optimizerPlan } = context
    this.#context = context
    this.#method = method
    this.unet = models.unet
    this.extension = `.${config.output.saveAs ?? 'pt'}`
    this.warnings = [...method.warnings, ...captionWarnings]
    models.unet.gradientCheckpointing = config.training.gradientCheckpointing
    models.textEncoder.gradientCheckpointing = config.training.gradientCheckpointing
    const learningRate = optimizerPlan.plan.learningRate ?? config.optimizer.learningRate
    this.groups = [{ name: 'textencoder', params: method.parameters(), learningRate }]
  }

  condition(captions: readonly string[], key: BatchKey): UNetContext {
    return this.#method.condition(captions, key)
  }

  async write(path: string, { finishedAt }: SaveFacts): Promise<number> {
    const { config, models, fileSystem } = this.#context
    const { savePrecision } = config.output
    return writeTextualInversion(path, await this.#method.network.toFile(), {
      metadata: modelSpec(models.config, config, { what: 'textual-inversion', savedAt: finishedAt }),
      ...(savePrecision === null ? {} : { precision: savePrecision }),
      ...(fileSystem === undefined ? {} : { fileSystem }),
    })
  }

  async openPreview(path: string): Promise<PreviewSource> {
    const { models, tokenizer, config } = this.#context
    const file: TextualInversion = await readTextualInversion(path, models.config.textEncoder)
    const attached = attachInversion(file, models.textEncoder, tokenizer, config.inversion.tokenString)
    const tokenizers: readonly ClipTokenizer[] = attached.tokenizers
    return { models, tokenizer: tokenizers, close: () => attached.dispose() }
  }

  dispose(): void {
    this.#method.dispose()
  }
}
