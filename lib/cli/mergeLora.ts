import { formOfTarget } from '../checkpoints/convertFile.ts'
import { type LoraToMerge, mergeLoraIntoCheckpoint } from '../checkpoints/mergeLoraFile.ts'
import { type ModelTargetOptions, modelOptions } from './convert.ts'
import { runFileWork } from './fileProgress.ts'
import { formatCount } from './format.ts'
import type { CliHost } from './host.ts'

export interface MergeLoraCommandOptions extends ModelTargetOptions {
  /** Files, each with `:multiplier` after it or not. */
  readonly lora: readonly string[]
  readonly output: string
}

/** `frog.safetensors:0.8`. */
export function parseLoraArgument(text: string): LoraToMerge {
  const found = /^(.+):([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)$/i.exec(text)
  return found === null ? { path: text } : { path: found[1]!, multiplier: Number(found[2]) }
}

/** `noisewright merge-lora`. @returns the exit code */
export async function mergeLoraCommand(
  model: string,
  { lora, output, save_model_as, ...options }: MergeLoraCommandOptions,
  host: CliHost,
): Promise<number> {
  return runFileWork(host, async (work) => {
    const loras = lora.map(parseLoraArgument)
    const to = save_model_as ?? formOfTarget('mergeLoraIntoCheckpoint', output)
    const report = await mergeLoraIntoCheckpoint(model, loras, output, { ...modelOptions(options), ...work, to })
    for (const note of report.notes) host.stderr.write(`note: ${note}\n`)
    for (const [i, { path, multiplier = 1 }] of loras.entries())
      host.stdout.write(`merged ${path} (times ${multiplier}) into ${formatCount(report.layers[i]!, 'layer')}\n`)
    host.stdout.write(`wrote ${output}: Stable Diffusion ${report.version}.x as ${to}\n`)
  })
}
