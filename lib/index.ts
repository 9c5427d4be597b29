/** The public surface: tensors, autograd, ops, models, networks, optimizers, data and files. Training runs are in `noisewright/train`. */
export { backward, backwardInTurns } from './autograd/backward.ts'
export type { LeafWatch } from './autograd/leafReads.ts'
export { recompute } from './autograd/recompute.ts'
export type { RecorderOptions, RecorderReport, RefusedStep } from './autograd/recorder.ts'
export { type Repeatable, repeatable } from './autograd/repeatable.ts'
export { noGrad } from './autograd/tape.ts'
export {
  type ConversionReport,
  convertCheckpoint,
  type WriteTargetOptions,
} from './checkpoints/convertCheckpoint.ts'
export { type ConvertedFile, type ConvertFileOptions, convertFile } from './checkpoints/convertFile.ts'
export { type CheckpointKind, type CheckpointReport, detectCheckpoint, type PartReport } from './checkpoints/detect.ts'
export { type ReadDiffusersConfigOptions, readDiffusersConfig } from './checkpoints/diffusersConfig.ts'
export {
  type LoadOptions,
  loadDiffusersFolder,
  type SaveFolderOptions,
  saveDiffusersFolder,
} from './checkpoints/diffusersFolder.ts'
export { findWeights } from './checkpoints/folderSource.ts'
export { type FileReport, type InspectedFormat, inspectFile } from './checkpoints/inspect.ts'
export type { EmbeddingReport, LoraReport } from './checkpoints/inspectNetworks.ts'
export { ldmKeys } from './checkpoints/keys/ldmKeys.ts'
export type { UnseenSizes } from './checkpoints/ldmConfig.ts'
export type { LoadReport } from './checkpoints/ldmSource.ts'
export { type LoadedCheckpoint, type LoadLdmOptions, loadLdmCheckpoint } from './checkpoints/loadLdmCheckpoint.ts'
export {
  type LoadedModel,
  type LoadStableDiffusionOptions,
  loadStableDiffusion,
} from './checkpoints/loadStableDiffusion.ts'
export { type LoadVaeOptions, loadVae } from './checkpoints/loadVae.ts'
export { type LoraToMerge, type MergeReport, mergeLoraIntoCheckpoint } from './checkpoints/mergeLoraFile.ts'
export type { EntryProgress } from './checkpoints/modelEntries.ts'
export type { ModelOptions, OpenModelOptions } from './checkpoints/modelSource.ts'
export type { PartWeights, WeightFormat } from './checkpoints/partWeights.ts'
export { type SaveLdmOptions, saveLdmCheckpoint } from './checkpoints/saveLdmCheckpoint.ts'
export type { Suspicion } from './checkpoints/suspicion.ts'
export type { SaveModelAs } from './checkpoints/writeModel.ts'
export {
  type DatasetConfig,
  type DatasetFile,
  type DatasetGroupConfig,
  loadDatasetConfig,
  resolveDatasetConfig,
  type SubsetConfig,
} from './config/datasetConfig.ts'
export { datasetJsonSchema, type JsonSchema } from './config/datasetJsonSchema.ts'
export { explainOption } from './config/explain.ts'
export type { ArgumentValues } from './config/namedArguments.ts'
export type { PythonLiteral } from './config/pythonLiteral.ts'
export { type Dashboard, type DashboardOptions, startDashboard } from './dashboard/dashboard.ts'
export type { DashboardControls } from './dashboard/pages.ts'
export { epochBatches, readBatches } from './data/batches.ts'
export { type DatasetGroup, type DatasetSource, type DescribeDataset, loadDatasetGroup } from './data/datasetGroup.ts'
export { type BucketDescription, describeBuckets } from './data/describeBuckets.ts'
export { type DecodedImage, type DecodeOptions, decodeImage } from './data/image.ts'
export { type ImageFormat, type ImageHeader, type ImageOptions, readImageHeader } from './data/imageHeader.ts'
export { type LoadPictureOptions, loadPicture, type PictureResize } from './data/loadPicture.ts'
export * from './diffusion/index.ts'
export { isHubId } from './hub/hubId.ts'
export type { HubDownloadOptions, HubProgress, HubSnapshot } from './hub/hubSnapshot.ts'
export { resolveHubFolder } from './hub/resolveHubFolder.ts'
export { type ResolveHubModelOptions, resolveHubModel } from './hub/resolveHubModel.ts'
export {
  type HubRepositoryOptions,
  type HubUpload,
  makeHubRepository,
  type UploadToHubOptions,
  uploadToHub,
} from './hub/uploadToHub.ts'
export { openTensorFile } from './io/openTensorFile.ts'
export { openSafetensors, type SafetensorsFile, type SafetensorsTensor, writeSafetensors } from './io/safetensors.ts'
export { bytesOf, type FileDType } from './io/tensorBytes.ts'
export type { TensorFile, TensorInfo } from './io/tensorFile.ts'
export { type CaptionReplacement, type CleaningRules, readCleaningRules } from './metadata/cleaningRules.ts'
export { type CleanMetadataOptions, type CleanReport, cleanMetadata } from './metadata/cleanMetadata.ts'
export { type CleanedTags, cleanCaption, cleanTags } from './metadata/cleanTexts.ts'
export { MetadataEntry, type MetadataSize } from './metadata/metadataEntry.ts'
export { type Metadata, readMetadata } from './metadata/readMetadata.ts'
export { writeMetadata } from './metadata/writeMetadata.ts'
export { type ClipTextConfig, clipL, openClipH } from './models/clip/config.ts'
export { ClipTextModel, type ClipTextOutput } from './models/clip/textModel.ts'
export { ClipTokenizer, loadClipTokenizer } from './models/clip/tokenizer.ts'
export {
  type ModelOrigin,
  type PredictionType,
  type StableDiffusionConfig,
  sd1,
  sd2,
  tinySd1,
  tinySd2,
  type UNetConfig,
  type VaeConfig,
} from './models/stableDiffusion/config.ts'
export { type LayerShape, layerShapes } from './models/stableDiffusion/layerShapes.ts'
export { type ModelPart, StableDiffusion } from './models/stableDiffusion/stableDiffusion.ts'
export { UNet } from './models/stableDiffusion/unet.ts'
export { Vae } from './models/stableDiffusion/vae.ts'
export { attachLoraFile, type LoraStrength } from './networks/attachLora.ts'
export {
  type ConvertLoraOptions,
  type ConvertNetworkOptions,
  convertLora,
  convertTextualInversion,
} from './networks/convertLora.ts'
export { createNetwork, type NetworkChoice, type NetworkOptions } from './networks/createNetwork.ts'
export { type KohyaLoraModule, readKohyaLora, type SavePrecision, writeKohyaLora } from './networks/kohyaLora.ts'
export type { LoraLayer, LoraModels } from './networks/layers.ts'
export { attachLora, DyLoraNetwork, type DyLoraOptions, LoraNetwork, type LoraOptions } from './networks/lora.ts'
export { type LoraFile, type LoraFileModule, type LoraMatrix, readLora } from './networks/loraFile.ts'
export type { LoraConfig, LoraStyle, WritableLoraStyle } from './networks/loraKeys/names.ts'
export { LoconNetwork, LohaNetwork, LokrNetwork, type LokrOptions, type LycorisOptions } from './networks/lycoris.ts'
export { type LoraDelta, loraDelta, mergeLora } from './networks/mergeLora.ts'
export type { NetworkFacts, SaveFacts } from './networks/metadata.ts'
export {
  BranchNetwork,
  type NetworkClass,
  type NetworkParameter,
  type OwnNetworkOptions,
  type TrainableNetwork,
} from './networks/network.ts'
export { type LoadedWeights, loadNetworkWeights, networkFromFile } from './networks/networkFromFile.ts'
export {
  type EmbeddingRows,
  readTextualInversion,
  type TextualInversion,
  type WriteTextualInversionOptions,
  writeTextualInversion,
  type XtiLayer,
  xtiLayers,
} from './networks/textualInversion.ts'
export { type WriteLoraOptions, writeLora } from './networks/writeLora.ts'
export type { Branch, BranchTerm, DropoutKey, LowRankTerm, WeightTerm } from './nn/branch.ts'
export { Conv2d, type Conv2dConfig, type Conv2dForward, type Padding } from './nn/conv2d.ts'
export { GroupNorm, type GroupNormConfig } from './nn/groupNorm.ts'
export { randomWeights } from './nn/init.ts'
export { LayerNorm } from './nn/layerNorm.ts'
export { Linear, type LinearConfig, type LinearForward } from './nn/linear.ts'
export {
  type FileLayout,
  fileShape,
  type Init,
  type Model,
  type ParameterRecord,
  type ParameterRequest,
  Registry,
  type WeightSource,
  Weights,
} from './nn/weights.ts'
export * from './ops/index.ts'
export * from './optim/index.ts'
export { type MergeTextsOptions, type MergeTextsReport, mergeTexts } from './prepare/mergeTexts.ts'
export { type ResizeImagesOptions, type ResizeImagesReport, resizeImages } from './prepare/resizeImages.ts'
export { type ContactSheetOptions, contactSheet } from './preview/contactSheet.ts'
export { type SampleOptions, samplePicture } from './preview/pipeline.ts'
export { type RgbImage, writePng } from './preview/png.ts'
export { type PromptSpec, readPromptFile } from './preview/promptFile.ts'
export { type CreateOptions, full, randomNormal, randomUniform, tensor, zeros } from './tensor/create.ts'
export { type GpuList, type GpuReport, listGpus, openDevice } from './tensor/device.ts'
export type { DType, FloatDType, TypedArray } from './tensor/dtype.ts'
export {
  cpuTarget,
  cpuTargets,
  cudaUnavailable,
  type MemoryReport,
  memory,
  releaseCached,
  resetPeak,
  setCpuTarget,
  setMemoryLimit,
  setThreadCount,
  threadCount,
} from './tensor/runtime.ts'
export { keep, Scope, scope } from './tensor/scope.ts'
export type { Shape } from './tensor/shape.ts'
export { type DeviceName, Tensor } from './tensor/tensor.ts'
export * from './util/errors.ts'
export { PhiloxStream } from './util/philox.ts'
export { type JsonValue, PythonFloat, type PythonScalar } from './util/pythonJson.ts'
