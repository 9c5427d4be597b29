/**
 * A kind of training of one's own: of the U-Net, only the projections of captions to keys and values learn (Kumari et al.,
 * "Multi-concept customization of text-to-image diffusion", 2023). They are saved as safetensors. The loop, the data, the optimizer,
 * the schedule, states, logs and previews are the trainer's.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  bytesOf,
  noGrad,
  type OptimizerGroup,
  randomWeights,
  type SaveFacts,
  StableDiffusion,
  saveDiffusersFolder,
  type Tensor,
  tinySd1,
  type UNet,
  writePng,
  writeSafetensors,
} from 'noisewright'
import {
  CaptionEncoder,
  captionOptions,
  type PreviewSource,
  parseTraining,
  type TrainEvent,
  Trainer,
  type TrainingContext,
  type TrainingKind,
  type TrainingMethod,
} from 'noisewright/train'

class KeysAndValues implements TrainingMethod {
  readonly unet: UNet
  readonly groups: readonly OptimizerGroup[]
  readonly moduleCount: number
  readonly extension = '.safetensors'
  readonly #context: TrainingContext
  readonly #captions: CaptionEncoder

  constructor(context: TrainingContext) {
    const { models, tokenizer, config } = context
    const weights = [...models.unet.registry.parameters.values()].filter(({ name }) => /\.attn2\.to_[kv]\./.test(name))
    for (const { tensor } of weights) tensor.requiresGrad = true
    const params = weights.map(({ name, tensor }) => ({ name, master: tensor }))
    this.unet = models.unet
    this.groups = [{ name: 'unet', params, learningRate: config.optimizer.learningRate }]
    this.moduleCount = params.length
    this.#context = context
    this.#captions = new CaptionEncoder(tokenizer, models.textEncoder, captionOptions(config, 'float32'))
  }

  condition(captions: readonly string[]): Tensor {
    return noGrad(() => this.#captions.encode(captions))
  }

  write(path: string, { steps }: SaveFacts): Promise<number> {
    const tensors = this.groups[0]!.params.map(({ name, master }) => ({
      name,
      dtype: 'F32' as const,
      shape: master.shape,
      data: async () => bytesOf(await master.read()),
    }))
    return writeSafetensors(path, tensors, { metadata: { steps: String(steps) } })
  }

  /** What was written is what the U-Net holds: it draws as it is. */
  async openPreview(): Promise<PreviewSource> {
    return { models: this.#context.models, tokenizer: this.#context.tokenizer, close: () => {} }
  }

  dispose(): void {}
}

export const keysAndValues: TrainingKind = {
  name: 'keys-and-values',
  trackerName: 'keys_and_values',
  trainedParts: () => ['unet'],
  trainedGroups: () => ['unet'],
  create: (context) => new KeysAndValues(context),
}

/** Trains it on a tiny model and one picture, in files below `folder`. */
export async function customMethod(folder: string, steps: number, signal?: AbortSignal): Promise<TrainEvent[]> {
  const [model, pictures, output] = ['model', 'pictures', 'out'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  const models = new StableDiffusion(tinySd1, () => randomWeights(1))
  await saveDiffusersFolder(model, models)
  models.dispose()
  await mkdir(pictures)
  const pixels = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => i % 251)
  await writePng(join(pictures, 'frog.png'), { width: 64, height: 64, pixels })
  const data = { datasets: [{ resolution: 64, subsets: [{ image_dir: pictures, class_tokens: 'sks frog' }] }] }
  await writeFile(join(folder, 'data.json'), JSON.stringify(data))

  // The options of the command line that every training has; what it gives is a plain object.
  const files = [
    '--pretrained_model_name_or_path',
    model,
    '--dataset_config',
    join(folder, 'data.json'),
    '--output_dir',
    output,
  ]
  const course = ['--max_train_steps', String(steps), '--learning_rate', '1e-3', '--seed', '7', '--cache_latents']
  const { config } = await parseTraining('train-db', [...files, ...course])
  const trainer = await Trainer.open(keysAndValues, config)
  const events: TrainEvent[] = []
  try {
    for await (const event of trainer.run({ signal })) events.push(event)
  } finally {
    trainer.dispose()
  }
  return events
}
