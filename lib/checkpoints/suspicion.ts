/** What is odd about a file of tensors, from its index alone. Nothing here is proof of ill will, and nothing in a file is executed. */
import { extname } from 'node:path'
import type { TensorFile } from '../io/tensorFile.ts'
import { TorchFile } from '../io/torchFile.ts'
import { listed } from './detect.ts'
import { isPositionIds } from './keys/ldmKeys.ts'
import { foreignFamily } from './modelFamilies.ts'

export interface Suspicion {
  /** What kind of thing, stable for programs. */
  readonly what:
    | 'pickledObjects'
    | 'unknownTensors'
    | 'extension'
    | 'dtype'
    | 'emptyTensors'
    | 'metadata'
    | 'extraBytes'
    | 'names'
    | 'severalKinds'
  /** One sentence for people. Names from the file are quoted, control characters escaped. */
  readonly detail: string
}

/** Texts beyond this are no description of a training. */
const MANY_METADATA_BYTES = 1 << 20
/** What a PyTorch file may hold beside its tensors: their description, padding, a few counters. */
const MANY_EXTRA_BYTES = 1 << 20

const extensions: Readonly<Record<string, readonly string[]>> = {
  safetensors: ['.safetensors'],
  torch: ['.ckpt', '.pt', '.pth', '.bin'],
  npz: ['.npz'],
}

/** Empty tensors that mark a property of the model by their names. */
const markers: readonly string[] = ['v_pred', 'ztsnr']

const controlCharacter = /[\p{Cc}\p{Cf}\u2028\u2029]/u

/** @param format `safetensors`, `torch` or `npz`; @param bytes size of the file */
export function suspicions(file: TensorFile, format: string, bytes: number): Suspicion[] {
  const found: Suspicion[] = []
  const note = (what: Suspicion['what'], detail: string): void => {
    found.push({ what, detail })
  }
  const { names, metadata } = file
  if (file instanceof TorchFile && file.foreign.length > 0)
    note('pickledObjects', `it asks Python for ${listed(file.foreign)}, which tensors do not need`)
  const extension = extname(file.path).toLowerCase()
  if (extensions[format] !== undefined && !extensions[format].includes(extension))
    note('extension', `the extension is "${extension}", the content is ${format}`)
  const infos = names.map((name) => file.info(name))
  const odd = infos.filter(
    ({ name, dtype, shape }) => !/^(F32|F16|BF16|F8_E4M3)$/.test(dtype) && shape.length > 0 && !isPositionIds(name),
  )
  if (odd.length > 0) {
    const types = [...new Set(odd.map(({ dtype }) => dtype))].join(', ')
    note(
      'dtype',
      `tensors of type ${types}: ${listed(
        odd.map(({ name }) => name),
        5,
      )}`,
    )
  }
  const empty = infos.filter(({ name, byteLength }) => byteLength === 0 && !markers.includes(name))
  if (empty.length > 0)
    note(
      'emptyTensors',
      `tensors without numbers: ${listed(
        empty.map(({ name }) => name),
        5,
      )}`,
    )
  const texts = [...metadata].reduce((sum, [key, value]) => sum + key.length + value.length, 0)
  if (texts > MANY_METADATA_BYTES) note('metadata', `${texts} characters of metadata`)
  const extra = bytes - infos.reduce((sum, { byteLength }) => sum + byteLength, 0)
  if (format === 'torch' && extra > MANY_EXTRA_BYTES + 200 * names.length)
    note('extraBytes', `${extra} bytes of the file belong to none of its tensors`)
  const hidden = [...names, ...metadata.keys()].filter((name) => controlCharacter.test(name) || name.length > 500)
  if (hidden.length > 0) note('names', `names with control characters or of great length: ${escaped(hidden)}`)
  const kinds = kindsIn(file)
  if (kinds.length > 1) note('severalKinds', `tensors of several kinds: ${kinds.join(', ')}`)
  return found
}

/** Names as JSON texts in ASCII, shortened: they may not reach a terminal as they are. */
function escaped(names: readonly string[]): string {
  return names
    .slice(0, 5)
    .map((name) =>
      JSON.stringify(name.slice(0, 60)).replace(/[^ -~]/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`),
    )
    .join(', ')
}

const kindMarks: readonly (readonly [kind: string, mark: RegExp])[] = [
  ['Stable Diffusion in one file', /^(model\.diffusion_model|first_stage_model|cond_stage_model)\./],
  ['LoRA', /\.lora_(down|up|A|B)\b|_lora\.(down|up)\./],
  ['textual inversion', /^(emb_params$|string_to_param)/],
  ['diffusers U-Net', /^(down|up)_blocks\.\d+\.(resnets|attentions)\.\d+\.(?!.*lora)/],
  ['text encoder', /^text_model\.(?!.*lora)/],
]

function kindsIn(file: TensorFile): string[] {
  const kinds = kindMarks.filter(([, mark]) => file.names.some((name) => mark.test(name))).map(([kind]) => kind)
  const foreign = foreignFamily(file)
  return foreign === undefined ? kinds : [...kinds, foreign.name]
}
