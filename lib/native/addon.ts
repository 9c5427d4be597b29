/**
 * The whole boundary to native code as one interface. A structure test compares it with what the binary exports.
 * Arguments are checked by lib/ops before they come here.
 */
import type { DType, Handle, MaybeHandle } from './handle.ts'
import type { StepOps } from './stepOps.ts'

export type { DType, Handle, MaybeHandle }

/** A step that was recorded. */
export interface RecordingHandle {
  readonly recording?: never
}

export interface Addon extends StepOps {
  // ---- devices, counters, settings
  /** Copies `bytes` before it returns. */
  fromBytes(device: string, bytes: Uint8Array, shape: readonly number[], dtype: DType): Handle
  /** The packed elements, once everything enqueued before has run. */
  read(tensor: Handle): Promise<ArrayBuffer>
  dispose(tensor: Handle): void
  /** What is enqueued from now on belongs to op number `sequence`. */
  mark(sequence: number): void
  /** Another view of the same storage. Strides and offset in elements, the offset relative to that of `tensor`. */
  view(tensor: Handle, shape: readonly number[], strides: readonly number[], offset: number): Handle
  /** Strides followed by the offset, in elements. */
  layout(tensor: Handle): number[]
  /** Opens a device on a thread of libuv's pool. Why it cannot be used; empty when it can. */
  openDevice(device: string): Promise<string>
  /** Why a GPU cannot be used, by default the first; empty when it can. Starts the driver unless openDevice or listGpus has. */
  cudaStatus(device?: string): string
  /**
   * Newest CUDA of the driver (major * 1000 + minor * 10; 0 without one), why there is no GPU to use or an empty string, and of each GPU
   * its name, compute capability, multiprocessors and clock in kHz (0: unknown), bytes in all and free (-1: unknown), and why it cannot
   * be used or an empty string.
   */
  listGpus(): Promise<[number, string, [string, string, number, number, number, number, string][]]>
  /**
   * Live buffers, live, peak and cached bytes, guard violations, jobs run, jobs waiting, bytes in files or in pinned host memory,
   * reserved bytes.
   */
  memory(device: string): [number, number, number, number, number, number, number, number, number]
  resetPeak(device: string): void
  releaseCached(device: string): void
  setMemoryLimit(device: string, bytes: number): void
  setMemoryGuards(on: boolean): void
  /** How many of two writes outside a buffer, made on purpose, guard mode noticed. */
  checkGuards(): number
  setThreadCount(count: number): void
  threadCount(): number
  cpuTargets(): string[]
  cpuTarget(): string
  /** False when this machine cannot run `name`. Takes effect in queue order. */
  setCpuTarget(name: string): boolean

  // ---- steps that are repeated (native/core/recording.h)
  /** What this thread enqueues from now on is kept. Also returns what stands for the inputs in it; all on one device, contiguous. */
  beginRecording(inputs: readonly Handle[]): [RecordingHandle, Handle[]]
  /**
   * Ends it. Returns tensors that take over the memory of `results`; or null when the step cannot be repeated: the results stay what
   * they are then.
   */
  endRecording(recording: RecordingHandle, results: readonly Handle[]): Handle[] | null
  /** Ends it without anything to repeat. */
  abandonRecording(recording: RecordingHandle, op: string, reason: string): void
  /** Which op cannot be repeated, and why; null: all can. */
  recordingRefusal(recording: RecordingHandle): [string, string] | null
  /** The results for other inputs. */
  replay(recording: RecordingHandle, inputs: readonly Handle[]): Handle[]
  /** Replays that have run, those of them that were one launch of a CUDA graph, and why there is no graph or an empty string. */
  recordingReport(recording: RecordingHandle): [number, number, string]
  disposeRecording(recording: RecordingHandle): void

  // ---- what this build was made with
  /** Of the CUDA toolkit that compiled the GPU's kernels, major * 1000 + minor * 10; 0 when the build has none. */
  toolkitVersion(): number
  /** What the kernels are compiled for: `80`, `86`. */
  cudaArchitectures(): string[]

  // ---- files
  /** Elements read from byte `offset` of an open file when the op runs; the descriptor may be closed after the call. */
  fileTensor(descriptor: number, offset: number, shape: readonly number[], dtype: DType): Handle

  // ---- pictures
  /**
   * A window of a picture resized, on a thread of libuv's pool. `numbers`: height, width and channels of the picture, height and
   * width it is resized to, then top, left, height and width of the window. `pixels` must not change before the promise settles.
   */
  resizePicture(pixels: Uint8Array, numbers: readonly number[], method: string): Promise<ArrayBuffer>
  /**
   * The same of an encoded picture of three channels, decoded a few rows at a time by the libvips that sharp has loaded. A tenth
   * number is the EXIF orientation by which the picture is turned first; the others are of the upright picture. Null where there is no
   * libvips, or it finds damage, another size or other pixels than 8-bit RGB.
   */
  resizeEncoded(file: Uint8Array, numbers: readonly number[], method: string): Promise<ArrayBuffer | null>

  // ---- ops
  /** On the device of that name; without one on the CPU, as the random numbers below. */
  fill(shape: readonly number[], dtype: DType, value: number, device?: string): Handle
  /** Zeros in a file without a name in `folder`, whose pages the system may write out and read again. */
  pagedZeros(shape: readonly number[], dtype: DType, folder: string): Handle
  /** Zeros in pinned host memory, which the kernels of that GPU reach over the bus. */
  pinnedZeros(shape: readonly number[], dtype: DType, device: string): Handle
  /** The pages of what pagedZeros made leave the process. */
  pageOut(tensors: readonly Handle[]): void
  randomUniform(
    shape: readonly number[],
    seed: bigint,
    stream: bigint,
    low: number,
    high: number,
    device?: string,
  ): Handle
  randomNormal(shape: readonly number[], seed: bigint, stream: bigint, device?: string): Handle
  /** [tasks, 2]: lanes of a vector and a sum, after 12 * `vectors` multiply-adds of whole vectors in each task. For benchmarks. */
  peakProbe(tasks: number, vectors: number): Handle
  /** a + b (op 0), a - b (1) or a * b (2); b broadcast along its axes of size 1. */
  addForward(a: Handle, b: Handle, op: number): Handle
  matmulForward(a: Handle, b: Handle, transposeA: boolean, transposeB: boolean): Handle
  /** [da, db], null where not needed. */
  matmulBackward(
    dy: Handle,
    a: Handle,
    b: Handle,
    transposeA: boolean,
    transposeB: boolean,
    needsA: boolean,
    needsB: boolean,
  ): [MaybeHandle, MaybeHandle]
  /** y and, with `save`, what backward wants: loraScale x loraDown^T float32, and the argument of the activation. */
  linearForward(
    x: Handle,
    weight: Handle,
    bias: MaybeHandle,
    residual: MaybeHandle,
    loraDown: MaybeHandle,
    loraUp: MaybeHandle,
    activation: number,
    loraScale: number,
    save: boolean,
  ): [Handle, MaybeHandle, MaybeHandle]
  /** Gradients of x, weight, bias, loraDown and loraUp; x may be null where none needs it. */
  linearBackward(
    dy: Handle,
    x: MaybeHandle,
    weight: Handle,
    loraDown: MaybeHandle,
    loraUp: MaybeHandle,
    z: MaybeHandle,
    pre: MaybeHandle,
    activation: number,
    loraScale: number,
    needsX: boolean,
    needsWeight: boolean,
    needsBias: boolean,
    needsDown: boolean,
    needsUp: boolean,
  ): [MaybeHandle, MaybeHandle, MaybeHandle, MaybeHandle, MaybeHandle]
  /** exact: no fast 3x3 convolution; keep: its transformed weights stay beside `weight` 0 never, 1 for large images, 2 always. */
  conv2dForward(
    x: Handle,
    weight: Handle,
    bias: MaybeHandle,
    timeEmbedding: MaybeHandle,
    residual: MaybeHandle,
    stride: number,
    top: number,
    bottom: number,
    left: number,
    right: number,
    upsample: boolean,
    exact: boolean,
    keep: number,
  ): Handle
  /** Gradients of x, weight, bias and timeEmbedding; x may be null where that of weight is not needed. */
  conv2dBackward(
    dy: Handle,
    x: MaybeHandle,
    xShape: readonly number[],
    weight: Handle,
    stride: number,
    top: number,
    bottom: number,
    left: number,
    right: number,
    upsample: boolean,
    exact: boolean,
    keep: number,
    needsX: boolean,
    needsWeight: boolean,
    needsBias: boolean,
    needsTime: boolean,
  ): [MaybeHandle, MaybeHandle, MaybeHandle, MaybeHandle]
  /** One after the other along the first axis. */
  concatBatchForward(parts: readonly Handle[]): Handle
  /** mean + exp(logvar / 2) * noise, float32; moments hold [mean ; logvar] on the last axis. */
  posteriorSampleForward(moments: Handle, noise: Handle): Handle
  /** [o, log-sum-exp float32 [n, heads, t]]; q [n, t, heads * d], k and v [n, s, heads * d], last axis contiguous. */
  attentionForward(q: Handle, k: Handle, v: Handle, heads: number, causal: boolean, scale: number): [Handle, Handle]
  /** [dq, dk, dv], null where not needed. */
  attentionBackward(
    dy: Handle,
    q: Handle,
    k: Handle,
    v: Handle,
    o: Handle,
    logSumExp: Handle,
    heads: number,
    causal: boolean,
    scale: number,
    needsQ: boolean,
    needsK: boolean,
    needsV: boolean,
  ): [MaybeHandle, MaybeHandle, MaybeHandle]
  /** Moments, float32; parameters as vaeEncodeParameters lists them; bandRows 0: chosen. */
  vaeEncodeForward(
    pixels: Handle,
    parameters: readonly Handle[],
    channels: readonly number[],
    layers: number,
    groups: number,
    eps: number,
    bandRows: number,
  ): Handle
  softmaxForward(x: Handle): Handle
  softmaxBackward(dy: Handle, y: Handle): Handle
  /** kind is 0 silu, 1 gelu, 2 quickGelu. */
  activationForward(x: Handle, kind: number): Handle
  activationBackward(dy: Handle, x: Handle, kind: number): Handle
  gegluForward(x: Handle): Handle
  gegluBackward(dy: Handle, x: Handle): Handle
  /** y, then mean and rstd, float32 [n, groups]. */
  groupNormForward(
    x: Handle,
    weight: Handle,
    bias: Handle,
    groups: number,
    eps: number,
    silu: boolean,
  ): [Handle, Handle, Handle]
  /** dx, dweight and dbias, null where not needed. */
  groupNormBackward(
    dy: Handle,
    x: Handle,
    weight: Handle,
    bias: Handle,
    mean: Handle,
    rstd: Handle,
    groups: number,
    silu: boolean,
    needsX: boolean,
    needsWeight: boolean,
    needsBias: boolean,
  ): [MaybeHandle, MaybeHandle, MaybeHandle]
  /** y, then mean and rstd, float32, one for each row. */
  layerNormForward(x: Handle, weight: Handle, bias: Handle, eps: number): [Handle, Handle, Handle]
  layerNormBackward(
    dy: Handle,
    x: Handle,
    weight: Handle,
    mean: Handle,
    rstd: Handle,
    needsX: boolean,
    needsWeight: boolean,
    needsBias: boolean,
  ): [MaybeHandle, MaybeHandle, MaybeHandle]
  /** factor * the sum of x (times z, of x's shape) over ascending axes, which disappear; float32. */
  reduceForward(x: Handle, z: MaybeHandle, axes: readonly number[], factor: number): Handle
  /** factor * dy, repeated along the axes of `shape` that were summed. */
  reduceBackward(dy: Handle, shape: readonly number[], axes: readonly number[], factor: number, dtype: DType): Handle
  scaleForward(x: Handle, factor: number): Handle
  castForward(x: Handle, dtype: DType): Handle
  /** A packed copy of a strided view; strides may be 0. */
  contiguousForward(x: Handle): Handle
  /** dy at `start` of an axis, zeros elsewhere. */
  sliceBackward(dy: Handle, shape: readonly number[], axis: number, start: number): Handle
  /** a and b may be strided. */
  concatChannelsForward(a: Handle, b: Handle): Handle
  /** Its own backward, on dy. */
  dropoutForward(x: Handle, p: number, seed: bigint, stream: bigint): Handle
  /** kind is 0 l2, 1 l1, 2 huber, 3 smooth l1. */
  elementLossForward(
    prediction: Handle,
    target: Handle,
    weights: MaybeHandle,
    thresholds: MaybeHandle,
    mask: MaybeHandle,
    kind: number,
  ): Handle
  elementLossBackward(
    dloss: Handle,
    prediction: Handle,
    target: Handle,
    weights: MaybeHandle,
    thresholds: MaybeHandle,
    mask: MaybeHandle,
    kind: number,
  ): Handle
  /** Ids past the rows of the table choose rows of `added`. */
  embeddingForward(ids: Handle, table: Handle, added: MaybeHandle): Handle
  /** The gradient of `rows` rows, the first of which has the id `first`. */
  embeddingBackward(dy: Handle, ids: Handle, first: number, rows: number): Handle
  timestepEmbeddingForward(timesteps: Handle, dim: number, maxPeriod: number): Handle
  addNoiseForward(latents: Handle, noise: Handle, timesteps: Handle, alphasCumprod: Handle): Handle
  velocityForward(latents: Handle, noise: Handle, timesteps: Handle, alphasCumprod: Handle): Handle
  offsetNoiseForward(
    noise: Handle,
    latents: MaybeHandle,
    offset: number,
    adaptiveScale: number,
    seed: bigint,
    stream: bigint,
  ): Handle
  /** y += x */
  accumulate(y: Handle, x: Handle): void
  /** y = x */
  copyInto(y: Handle, x: Handle): void
  /** y *= factor; 0 clears */
  scaleInPlace(y: Handle, factor: number): void
  resizeImage(image: Handle, height: number, width: number, method: string): Handle
  shiftHue(image: Handle, shift: number): Handle
  lookupTable(x: Handle, table: Handle): Handle
  imageToTensor(image: Handle, left: number, top: number, width: number, height: number, flip: boolean): Handle
  /** Read, converted and laid out as `shape` when the op runs; the descriptor may be closed after the call. */
  loadParameter(
    descriptor: number,
    offset: number,
    fileDType: string,
    shape: readonly number[],
    channelsLast: boolean,
    dtype: DType,
    device: string,
  ): Handle
  /** x in the file's element type; where channelsLast [co, kh, kw, ci] becomes [co, ci, kh, kw]. */
  storeParameter(x: Handle, channelsLast: boolean, dtype: DType): Handle
}
