import { convertFile } from '../checkpoints/convertFile.ts'
import type { OpenModelOptions } from '../checkpoints/modelSource.ts'
import type { SaveModelAs } from '../checkpoints/writeModel.ts'
import type { SavePrecision } from '../networks/kohyaLora.ts'
import type { WritableLoraStyle } from '../networks/loraKeys/names.ts'
import { runFileWork } from './fileProgress.ts'
import type { CliHost } from './host.ts'

/** Options by their names on the command line. */
export interface ModelTargetOptions {
  readonly save_model_as?: SaveModelAs
  readonly save_precision?: SavePrecision
  readonly vae?: string
  readonly v2?: true
  readonly v_parameterization?: true
  readonly variant?: string
  readonly overwrite?: true
}

/** The library's options for a model that is read and written. */
export function modelOptions(options: ModelTargetOptions): OpenModelOptions & {
  readonly precision: SavePrecision | undefined
  readonly overwrite: boolean
} {
  const { save_precision: precision, vae, v2, v_parameterization: vParameterization, variant, overwrite } = options
  return { precision, vae, v2, vParameterization, variant, overwrite: overwrite === true }
}

/** `noisewright convert`. @returns the exit code */
export async function convertCommand(
  source: string,
  target: string,
  options: ModelTargetOptions & { readonly lora_style?: WritableLoraStyle },
  host: CliHost,
): Promise<number> {
  return runFileWork(host, async (work) => {
    const { save_model_as: to, lora_style: loraStyle } = options
    const settings = { ...modelOptions(options), ...work, to, loraStyle }
    const { description, notes } = await convertFile(source, target, settings)
    for (const note of notes) host.stderr.write(`note: ${note}\n`)
    host.stdout.write(`wrote ${target}: ${description}\n`)
  })
}
