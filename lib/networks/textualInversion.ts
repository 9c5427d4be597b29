/**
 * Files of learned token embeddings: textual inversion (Gal et al., arXiv 2208.01618), and its extension with rows of their own for
 * every cross-attention layer, "extended textual inversion" (Voynov et al., arXiv 2303.09522).
 */
import type { WritableFileSystem } from '../io/atomicWrite.ts'
import { openTensorFile } from '../io/openTensorFile.ts'
import { type SafetensorsTensor, writeSafetensors } from '../io/safetensors.ts'
import { bytesToFloat32, float32ToBytes } from '../io/tensorBytes.ts'
import type { TensorFile } from '../io/tensorFile.ts'
import { TorchFile, type TorchTensor } from '../io/torchFile.ts'
import { writeTorchFile } from '../io/torchFileWriter.ts'
import type { ClipTextConfig } from '../models/clip/config.ts'
import { ArgumentError, CheckpointError } from '../util/errors.ts'
import { formatOf, type TensorFormat } from './format.ts'
import type { SavePrecision } from './kohyaLora.ts'

/** The cross-attention layers of the U-Net in forward order, as original checkpoints number their blocks. */
export const xtiLayers = [
  ...['IN01', 'IN02', 'IN04', 'IN05', 'IN07', 'IN08', 'MID'],
  ...['OUT03', 'OUT04', 'OUT05', 'OUT06', 'OUT07', 'OUT08', 'OUT09', 'OUT10', 'OUT11'],
] as const

export type XtiLayer = (typeof xtiLayers)[number]

/** Rows of a text encoder's token embedding, [n, d]. */
export interface EmbeddingRows {
  readonly shape: readonly [n: number, d: number]
  /** float32, row-major. */
  readonly values: Float32Array
}

interface FileFacts {
  readonly metadata: ReadonlyMap<string, string>
}

/**
 * What a file holds.
 * - `embedding`: rows for one token; `token` is its name where the file has one (diffusers' files and the web UI's)
 * - `layers`: rows for each cross-attention layer
 */
export type TextualInversion =
  | (FileFacts & { readonly kind: 'embedding'; readonly token: string | null; readonly rows: EmbeddingRows })
  | (FileFacts & { readonly kind: 'layers'; readonly layers: ReadonlyMap<XtiLayer, EmbeddingRows> })

/** Where the vector lies in files that do not name their token. */
const KEY = 'emb_params'

/**
 * Reads learned embeddings: a dictionary with `emb_params`, the web UI's `string_to_param`, diffusers' one tensor named after its
 * token, or 16 tensors named after layers; from a safetensors or a PyTorch file.
 *
 * @param source a path, or an open file, which stays the caller's to close
 * @param config of the text encoder the rows are for
 * @throws IoError when the file cannot be opened
 * @throws CheckpointError when it is damaged, holds something else, or rows of another width (the family is named)
 */
export async function readTextualInversion(
  source: string | TensorFile,
  config: Pick<ClipTextConfig, 'hiddenSize'>,
): Promise<TextualInversion> {
  const file = typeof source === 'string' ? await openTensorFile(source) : source
  try {
    const width = config.hiddenSize
    const { metadata } = file
    const webUi = file instanceof TorchFile ? webUiTensor(file) : null
    if (webUi !== null) {
      const { torch, tensor, token } = webUi
      const { shape, dtype } = torch.infoOf(tensor, token)
      const values = bytesToFloat32(await torch.readTensor(tensor, token), dtype)
      return { kind: 'embedding', metadata, token, rows: checkedRows(file, token, shape, values, width) }
    }
    if (file.has('clip_g'))
      throw new CheckpointError(
        file.path,
        'is a textual inversion for Stable Diffusion XL (key "clip_g"); expected one for Stable Diffusion 1.x or 2.x',
      )
    if (xtiLayers.some((layer) => file.has(layer)))
      return { kind: 'layers', metadata, layers: await readLayers(file, width) }
    const name = onlyTensor(file)
    const rows = await readRows(file, name, width)
    return { kind: 'embedding', metadata, token: name === KEY || name === 'clip_l' ? null : name, rows }
  } finally {
    if (typeof source === 'string') await file.close()
  }
}

/** The embedding of the web UI's dictionary: the first entry of `string_to_param`, and the name beside it. */
function webUiTensor(file: TorchFile): { torch: TorchFile; tensor: TorchTensor; token: string } | null {
  const parameters = file.root.get('string_to_param')
  if (parameters === undefined) return null
  const [key, tensor] = parameters instanceof Map ? ([...parameters][0] ?? []) : []
  if (typeof key !== 'string' || typeof tensor !== 'object' || tensor === null || !('storageKey' in tensor))
    throw new CheckpointError(file.path, '"string_to_param": expected a dictionary with one tensor')
  const name = file.root.get('name')
  return { torch: file, tensor: tensor as TorchTensor, token: typeof name === 'string' ? name : key }
}

function onlyTensor(file: TensorFile): string {
  if (file.has(KEY)) return KEY
  const [name, ...others] = file.names
  if (name !== undefined && others.length === 0) return name
  const lora = file.names.some((key) => /lora_(up|down|A|B)|\.lora\.|_lora\./.test(key))
  const found = lora ? 'a LoRA' : `${file.names.length} tensors${name === undefined ? '' : ` ("${name}", ...)`}`
  throw new CheckpointError(
    file.path,
    `expected a textual inversion (one tensor, or 16 named after layers), found ${found}`,
  )
}

async function readLayers(file: TensorFile, width: number): Promise<Map<XtiLayer, EmbeddingRows>> {
  const missing = xtiLayers.filter((layer) => !file.has(layer))
  const known: readonly string[] = xtiLayers
  const extra = file.names.filter((name) => !known.includes(name))
  if (missing.length > 0 || extra.length > 0) {
    const found = [
      missing.length > 0 ? `none for ${missing.join(', ')}` : '',
      extra.length > 0 ? `others: ${extra.join(', ')}` : '',
    ]
    const message = `expected the 16 tensors of an extended textual inversion, found ${found.filter(Boolean).join('; ')}`
    throw new CheckpointError(file.path, message)
  }
  const layers = new Map<XtiLayer, EmbeddingRows>()
  for (const layer of xtiLayers) layers.set(layer, await readRows(file, layer, width))
  const counts = new Set([...layers.values()].map(({ shape }) => shape[0]))
  if (counts.size > 1)
    throw new CheckpointError(file.path, `expected as many rows for each layer, found ${[...counts].join(' and ')}`)
  return layers
}

async function readRows(file: TensorFile, name: string, width: number): Promise<EmbeddingRows> {
  const { shape } = file.info(name)
  // The shape is checked before anything is read.
  checkShape(file, name, shape, width)
  return checkedRows(file, name, shape, await file.readFloat32(name), width)
}

const families: Readonly<Record<number, string>> = {
  768: 'Stable Diffusion 1.x',
  1024: 'Stable Diffusion 2.x',
  1280: 'Stable Diffusion XL',
  4096: 'a model with a T5 text encoder',
}

function checkShape(file: TensorFile, name: string, shape: readonly number[], width: number): void {
  const found = shape.at(-1) ?? 0
  if (shape.length !== 1 && (shape.length !== 2 || shape[0]! < 1))
    throw new CheckpointError(file.path, `"${name}": expected shape [n, ${width}], found [${shape.join(', ')}]`)
  if (found === width) return
  const family = families[found] === undefined ? '' : `; the file is for ${families[found]}`
  throw new CheckpointError(file.path, `"${name}": expected rows of ${width} numbers, found ${found}${family}`)
}

function checkedRows(
  file: TensorFile,
  name: string,
  shape: readonly number[],
  values: Float32Array,
  width: number,
): EmbeddingRows {
  checkShape(file, name, shape, width)
  if (!values.every(Number.isFinite))
    throw new CheckpointError(file.path, `"${name}": expected finite numbers, found NaN or infinity`)
  return { shape: [shape.length === 1 ? 1 : shape[0]!, width], values }
}

export interface WriteTextualInversionOptions {
  /** Default: `float`. */
  readonly precision?: SavePrecision
  /** Default: by the extension, `.safetensors`, `.pt`, `.ckpt` or `.bin`. */
  readonly format?: TensorFormat
  /** Texts for a safetensors file; PyTorch's have no place for them. Default: none. */
  readonly metadata?: Readonly<Record<string, string>>
  /** See `atomicWrite`. */
  readonly fileSystem?: WritableFileSystem
}

/**
 * Writes learned embeddings: one tensor `emb_params` [n, d], or one for each layer. The web UI, ComfyUI and this library read the
 * first; the write is atomic.
 *
 * @param embedding rows of one token, or of each layer
 * @returns the size of the file in bytes
 * @throws ArgumentError when the rows have not the size their shape demands, or the extension tells no format
 * @throws IoError when the file cannot be written; a previous file of that name stays
 */
export async function writeTextualInversion(
  path: string,
  embedding: EmbeddingRows | ReadonlyMap<XtiLayer, EmbeddingRows>,
  options: WriteTextualInversionOptions = {},
): Promise<number> {
  const { precision = 'float', format = formatOf('writeTextualInversion', path), metadata, fileSystem } = options
  const dtype = ({ float: 'F32', fp16: 'F16', bf16: 'BF16' } as const)[precision]
  const rows: readonly (readonly [string, EmbeddingRows])[] =
    'values' in embedding && 'shape' in embedding ? [[KEY, embedding]] : allLayers(embedding)
  const tensors = rows.map(([name, { shape, values }]): SafetensorsTensor => {
    if (values.length !== shape[0] * shape[1]) {
      const expected = `${shape[0] * shape[1]} numbers for [${shape.join(', ')}]`
      throw new ArgumentError('writeTextualInversion', `the rows of ${name}`, expected, String(values.length))
    }
    return { name, dtype, shape, data: float32ToBytes(values, dtype) }
  })
  const settings = fileSystem === undefined ? {} : { fileSystem }
  if (format === 'pt') return writeTorchFile(path, tensors, settings)
  return writeSafetensors(path, tensors, { ...settings, ...(metadata === undefined ? {} : { metadata }) })
}

function allLayers(layers: ReadonlyMap<XtiLayer, EmbeddingRows>): [XtiLayer, EmbeddingRows][] {
  return xtiLayers.map((layer) => {
    const rows = layers.get(layer)
    if (rows === undefined)
      throw new ArgumentError('writeTextualInversion', 'embedding', 'given for every layer', `none for ${layer}`)
    return [layer, rows]
  })
}
