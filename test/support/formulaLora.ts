/** Files of LoRA whose values follow from a formula, as scripts/reference/sd_scripts_inputs.py writes them. */
import type { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { createNetwork } from '../../lib/networks/createNetwork.ts'
import { type KohyaLoraModule, writeKohyaLora } from '../../lib/networks/kohyaLora.ts'
import { formulaValues } from './formula.ts'

export interface FormulaLora {
  readonly rank: number
  readonly alpha: number
  readonly convRank: number
  readonly convAlpha: number
  /** Modules with this in their name are not in the file. */
  readonly without: string
}

/** Writes the modules of a LoRA beside these models, but for those left out, with the values of `oracle/<name>/<key>`. */
export async function writeFormulaLora(
  path: string,
  name: string,
  models: StableDiffusion,
  { without, ...options }: FormulaLora,
): Promise<void> {
  const network = createNetwork(models, { kind: 'lora', ...options, seed: 1 })
  try {
    const modules = (await network.toKohya()).filter((module) => !module.name.includes(without))
    await writeKohyaLora(
      path,
      modules.map((module) => withFormula(name, module)),
      { metadata: {} },
    )
  } finally {
    network.dispose()
  }
}

function withFormula(file: string, { weights, ...module }: KohyaLoraModule): KohyaLoraModule {
  const filled = Object.entries(weights).map(([suffix, { shape }]) => {
    const spec = { shape, kind: 'uniform', scale: 0.1 } as const
    return [suffix, { shape, values: formulaValues(`oracle/${file}/${module.name}.${suffix}`, spec) }] as const
  })
  return { ...module, weights: Object.fromEntries(filled) }
}
