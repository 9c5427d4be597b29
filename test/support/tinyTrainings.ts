/** Configurations of every kind of training, made of the one of a network. */
import { join } from 'node:path'
import type {
  DreamBoothConfig,
  FineTuneConfig,
  TextualInversionConfig,
  TrainConfig,
} from '../../lib/train/trainConfig.ts'
import { type FileContent, makeFolder } from './pictures.ts'
import { fourPictures, type TinyOverrides, tinyTraining } from './tinyTraining.ts'

async function shared(model: string, dataFile: string, overrides: TinyOverrides): Promise<TrainConfig> {
  const { network: _, ...blocks } = await tinyTraining(model, dataFile, overrides)
  return blocks
}

export async function tinyFineTune(
  model: string,
  dataFile: string,
  { fineTune = {}, ...overrides }: TinyOverrides & { readonly fineTune?: Partial<FineTuneConfig['fineTune']> } = {},
): Promise<FineTuneConfig> {
  return {
    ...(await shared(model, dataFile, overrides)),
    fineTune: { trainTextEncoder: false, textEncoderLearningRate: null, ...fineTune },
  }
}

export async function tinyDreamBooth(
  model: string,
  dataFile: string,
  {
    dreamBooth = {},
    ...overrides
  }: TinyOverrides & { readonly dreamBooth?: Partial<DreamBoothConfig['dreamBooth']> } = {},
): Promise<DreamBoothConfig> {
  return {
    ...(await shared(model, dataFile, overrides)),
    dreamBooth: { stopTextEncoderTraining: null, textEncoderLearningRate: null, ...dreamBooth },
  }
}

export async function tinyInversion(
  model: string,
  dataFile: string,
  {
    inversion = {},
    ...overrides
  }: TinyOverrides & { readonly inversion?: Partial<TextualInversionConfig['inversion']> } = {},
): Promise<TextualInversionConfig> {
  return {
    ...(await shared(model, dataFile, overrides)),
    inversion: { tokenString: 'sks frog', vectorCount: 1, initWord: null, weights: null, template: null, ...inversion },
  }
}

/** Pictures with metadata, as fine-tuning takes them. @returns the path of the description */
export async function makeTinyMetadata(files: Readonly<Record<string, FileContent>> = fourPictures): Promise<string> {
  const isPicture = ([name]: [string, FileContent]): boolean => !name.endsWith('.txt')
  const pictures = Object.fromEntries(Object.entries(files).filter(isPicture))
  const images = await makeFolder(pictures)
  const metadata = Object.keys(pictures).map((name) => [join(images, name), { caption: 'sks frog', tags: name }])
  const folder = await makeFolder({ 'meta.json': JSON.stringify(Object.fromEntries(metadata)) })
  const toml = `[[datasets]]
resolution = 64
batch_size = 2

  [[datasets.subsets]]
  image_dir = ${JSON.stringify(images)}
  metadata_file = ${JSON.stringify(join(folder, 'meta.json'))}
`
  return join(await makeFolder({ 'data.toml': toml }), 'data.toml')
}
