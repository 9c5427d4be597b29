/** From files to files, tensor by tensor: no model is built, and the addon is not needed. */
import { entriesOfSource, type ModelEntries, type SourceEntriesOptions } from './modelEntries.ts'
import { type OpenModelOptions, openModel } from './modelSource.ts'
import { expectForm, expectFree, type SaveModelAs, writeModel } from './writeModel.ts'

export interface WriteTargetOptions extends OpenModelOptions, SourceEntriesOptions {
  /** What to write. */
  readonly to: SaveModelAs
  /** Replace what has the target's name. Default false: it is refused. */
  readonly overwrite?: boolean | undefined
}

/** What was converted. */
export interface ConversionReport {
  readonly version: 1 | 2
  readonly predictionType: 'epsilon' | 'v_prediction'
  /** What the user should know: assumptions that were made. */
  readonly notes: readonly string[]
}

/**
 * Converts Stable Diffusion 1.x and 2.x between single files (`safetensors`, `ckpt`) and diffusers folders (`diffusers` with
 * `.bin` weights, `diffusers_safetensors`), and between types. Names and shapes change, and numbers only where `precision` asks for
 * it: a single file that becomes a folder and a file again has the same bits. A single file made of a single file keeps everything
 * else in it. One tensor at a time is in memory, beside the indexes; the target appears whole or not at all.
 *
 * @param source a file, a folder or a hub id
 * @throws ArgumentError for an unknown form or precision; IoError when the target exists or cannot be written; CheckpointError for a
 *   source that is something else or damaged: see {@link openModel}
 * @example await convertCheckpoint('model.ckpt', 'model', { to: 'diffusers_safetensors', precision: 'fp16' })
 */
export async function convertCheckpoint(
  source: string,
  target: string,
  options: WriteTargetOptions,
): Promise<ConversionReport> {
  return rewriteModel('convertCheckpoint', source, target, options, entriesOfSource)
}

type Rewrite = (model: Awaited<ReturnType<typeof openModel>>, options: SourceEntriesOptions) => ModelEntries

/** Opens a model, writes what `entries` makes of it, and closes it. */
export async function rewriteModel(
  op: string,
  source: string,
  target: string,
  options: WriteTargetOptions,
  entries: (...args: Parameters<Rewrite>) => ModelEntries | Promise<ModelEntries>,
): Promise<ConversionReport> {
  const { to, overwrite = false, precision, onProgress, signal, ...found } = options
  expectForm(op, to, precision)
  await expectFree(target, overwrite)
  const model = await openModel(source, { ...found, hub: { signal, ...found.hub } })
  try {
    const made = await entries(model, { precision, onProgress, signal })
    await writeModel(target, to, made, model.single)
    const { version, predictionType } = model.config
    return { version, predictionType, notes: model.notes }
  } finally {
    await model.close()
  }
}
