import type { KohyaLoraModule, KohyaWeight } from '../../lib/networks/kohyaLora.ts'
import type { NetworkFacts, SaveFacts, TrainingFacts } from '../../lib/networks/metadata.ts'
import { type DataFacts, dataMetadata, type SubsetFacts } from './dataFacts.ts'

/** The values of scripts/reference/loraFile.py, in our types. */

function weight(shape: readonly number[], seed: number): KohyaWeight {
  const count = shape.reduce((product, size) => product * size, 1)
  const values = Float32Array.from({ length: count }, (_, i) => (((i * 7919 + seed * 104729) % 4093) - 2046) / 64)
  return { shape, values }
}

export function network(inWidth: number, outWidth: number, rank: number, alpha: number): KohyaLoraModule[] {
  const linear = [
    [rank, inWidth],
    [outWidth, rank],
  ] as const
  const conv = (size: number): readonly [number[], number[]] => [
    [rank, inWidth, size, size],
    [outWidth, rank, 1, 1],
  ]
  const modules = [
    ['lora_unet_mid_block_attentions_0_proj_in', ...conv(1)],
    ['lora_te_text_model_encoder_layers_10_self_attn_q_proj', ...linear],
    ['lora_te_text_model_encoder_layers_9_mlp_fc1', ...linear],
    ['lora_unet_down_blocks_0_resnets_0_conv1', ...conv(3)],
  ] as const
  return modules.map(([name, down, up], i) => {
    return {
      name,
      alpha,
      weights: { 'lora_down.weight': weight(down, 2 * i), 'lora_up.weight': weight(up, 2 * i + 1) },
    }
  })
}

const tagsA = new Map([
  [
    'frogs',
    new Map([
      ['frog', 12],
      ['10', 2],
      ['9', 1],
      ['grün', 1],
    ]),
  ],
])
const tagsB = new Map([
  ['frogs', new Map([['ignored', 1]])],
  ['meta.json', new Map([['sky', 3]])],
])

const subset = {
  imageCount: 12,
  repeats: 10,
  colorAug: false,
  flipAug: true,
  randomCrop: false,
  shuffleCaption: true,
  keepTokens: 1,
}
const dreamBooth = (imageDir: string, classTokens: string | null, isReg: boolean): SubsetFacts => {
  return { ...subset, imageDir, source: { kind: 'dreamBooth', classTokens, isReg } }
}

export const configData: DataFacts = {
  kind: 'config',
  datasets: [
    {
      isDreamBooth: true,
      batchSizePerDevice: 4,
      trainImageCount: 120,
      regImageCount: 20,
      resolution: [512, 512],
      enableBucket: true,
      minBucketResolution: 256,
      maxBucketResolution: 1024,
      tagFrequency: tagsA,
      bucketInfo: {
        buckets: [
          { index: 3, resolution: [448, 576], count: 120 },
          { index: 11, resolution: [512, 512], count: 120 },
        ],
        meanAspectRatioError: 0.0125,
      },
      subsets: [
        dreamBooth('frogs', 'sks frog', false),
        dreamBooth('frogs', null, false),
        dreamBooth('reg', 'frog', true),
      ],
    },
    {
      isDreamBooth: false,
      batchSizePerDevice: 1,
      trainImageCount: 120,
      regImageCount: 0,
      resolution: [768, 512],
      enableBucket: false,
      minBucketResolution: null,
      maxBucketResolution: null,
      tagFrequency: tagsB,
      bucketInfo: null,
      subsets: [
        { ...subset, source: { kind: 'metadata', metadataFile: 'meta.json' } },
        { ...subset, imageDir: 'pictures', source: { kind: 'metadata', metadataFile: 'meta.json' } },
      ],
    },
  ],
}

export const commandLineData: DataFacts = {
  kind: 'commandLine',
  batchSizePerDevice: 4,
  totalBatchSize: 8,
  resolution: [512, 640],
  colorAug: false,
  flipAug: true,
  randomCrop: false,
  shuffleCaption: true,
  enableBucket: false,
  bucketNoUpscale: false,
  minBucketResolution: null,
  maxBucketResolution: null,
  keepTokens: 1,
  trainFolders: [{ name: '10_sks frog', repeats: 10, imageCount: 12 }],
  regFolders: [{ name: '1_frog', repeats: 1, imageCount: 20 }],
  tagFrequency: tagsA,
  bucketInfo: null,
}

export const networkFacts: NetworkFacts = {
  module: 'networks.lora',
  dim: 2,
  alpha: 0.5,
  dropout: null,
  args: { conv_dim: '4', conv_alpha: '1' },
}

export const saveFacts: SaveFacts = { steps: 300, epoch: 10, finishedAt: 1690000900 }

export function trainingFacts(data: DataFacts, net: NetworkFacts = networkFacts): TrainingFacts {
  return {
    sessionId: 4294967296,
    startedAt: 1690000000.125,
    outputName: 'grüner frosch',
    learningRate: 1e-5,
    textEncoderLearningRate: 5e-5,
    unetLearningRate: 1e-4,
    trainImageCount: 240,
    regImageCount: 20,
    batchesPerEpoch: 60,
    epochCount: 10,
    gradientCheckpointing: true,
    gradientAccumulationSteps: 2,
    maxTrainSteps: 300,
    warmupSteps: 30,
    scheduler: 'cosine',
    network: net,
    mixedPrecision: 'bf16',
    fullFp16: false,
    v2: false,
    clipSkip: null,
    maxTokenLength: 225,
    cacheLatents: true,
    seed: 42,
    lowRam: false,
    noiseOffset: 0.05,
    multiresNoiseIterations: null,
    multiresNoiseDiscount: 0.3,
    adaptiveNoiseScale: null,
    trainingComment: null,
    optimizer: 'bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.01,betas=(0.9, 0.99))',
    maxGradNorm: 1,
    captionDropoutRate: 0,
    captionDropoutEveryEpochs: 0,
    captionTagDropoutRate: 0.1,
    faceCropAugRange: [1, 2.5],
    priorLossWeight: 1,
    minSnrGamma: 5,
    scaleWeightNorms: null,
    model: { name: 'v1-5-pruned.safetensors', hashes: { legacy: 'cc6cb271', sha256: 'ab'.repeat(32) } },
    vae: { name: 'some/vae-on-a-hub' },
    data: dataMetadata(data),
  }
}
