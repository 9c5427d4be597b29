import { describe, expect, it } from 'vitest'
import { parseTraining } from '../../lib/train/options/parseTraining.ts'
import { needed } from './trainProblems.ts'

describe('the configuration', () => {
  it("has the reference's defaults", async () => {
    const { config, notes } = await parseTraining('train-network', needed)
    expect(notes).toEqual([])
    expect(config).toMatchObject({
      model: { path: 'model', v2: false, vParameterization: false, vae: null, clipSkip: null, maxTokenLength: null },
      data: {
        source: { configFile: 'data.toml' },
        fallbacks: {},
        cacheLatents: false,
        cacheLatentsToDisk: false,
        cacheFolder: null,
        cacheTextEncoderOutputs: false,
        vaeBatchSize: 1,
        priorLossWeight: 1,
        weightedCaptions: false,
        onBadImage: 'error',
        ignoreExif: false,
        allowOutside: false,
      },
      network: {
        dim: null,
        alpha: null,
        dropout: null,
        trainUnet: true,
        trainTextEncoder: true,
        trainingComment: null,
      },
      optimizer: {
        type: 'AdamW',
        learningRate: 2e-6,
        unetLearningRate: null,
        textEncoderLearningRate: null,
        maxGradNorm: 1,
        scheduler: 'constant',
        warmupSteps: 0,
        schedulerCycles: 1,
        schedulerPower: 1,
      },
      training: {
        maxSteps: 1600,
        maxEpochs: null,
        gradientAccumulationSteps: 1,
        gradientCheckpointing: false,
        mixedPrecision: 'no',
        seed: null,
      },
      output: {
        folder: 'out',
        name: null,
        saveEveryEpochs: null,
        saveEverySteps: null,
        savePrecision: null,
        saveAs: 'safetensors',
        noMetadata: false,
      },
      state: { save: false, saveAtEnd: false, resume: null, restart: false },
      preview: { promptFile: null, everyEpochs: null, everySteps: null },
      logging: { folder: null, prefix: '', trackerName: 'network_train' },
    })
  })

  it('takes every value to its place', async () => {
    const args = `--pretrained_model_name_or_path m --train_data_dir t --reg_data_dir r --output_dir o --clip_skip 2
      --max_token_length 225 --resolution 64 --train_batch_size 3 --dataset_repeats 2 --caption_extension .a
      --caption_extention .txt --cache_latents --use_8bit_adam --optimizer_args betas=(0.8,.99) eps=1e-6 weight_decay=0
      --unet_lr 1e-3 --text_encoder_lr 0 --lr_scheduler cosine_with_restarts --lr_scheduler_num_cycles 3 --lr_warmup_steps 5
      --network_train_unet_only --network_dropout 0.25 --max_train_epochs 2 --mixed_precision bf16 --seed 0 --output_name n
      --save_precision fp16 --sample_prompts p.txt --sample_every_n_steps 7 --logging_dir l --log_prefix x-`
    const { config } = await parseTraining('train-network', args.split(/\s+/))
    expect(config).toMatchObject({
      model: { path: 'm', v2: false, vParameterization: false, vae: null, clipSkip: 2, maxTokenLength: 225 },
      data: {
        source: { trainDataDir: 't', regDataDir: 'r' },
        fallbacks: { resolution: [64, 64], batch_size: 3, num_repeats: 2, caption_extension: '.txt' },
        cacheLatents: true,
      },
      network: { trainUnet: true, trainTextEncoder: false, dropout: 0.25 },
      optimizer: {
        type: 'AdamW8bit',
        arguments: { betas: [0.8, 0.99], eps: 1e-6, weight_decay: 0 },
        argumentTexts: { betas: '(0.8, 0.99)', eps: '1e-06', weight_decay: '0' },
        unetLearningRate: 1e-3,
        textEncoderLearningRate: 0,
        scheduler: 'cosine_with_restarts',
        schedulerCycles: 3,
        warmupSteps: 5,
      },
      training: { maxEpochs: 2, mixedPrecision: 'bf16', seed: 0 },
      output: { folder: 'o', name: 'n', savePrecision: 'fp16' },
      preview: { promptFile: 'p.txt', everySteps: 7 },
      logging: { folder: 'l', prefix: 'x-', trackerName: 'network_train' },
    })
  })
})
