/** What optimizers keep of each parameter, by their names: more than a guess is not needed before a training. */

/** The first that fits. Blocks of 8-bit states have a float32 number for 256 of them. */
const rules: readonly (readonly [name: RegExp, bytes: number])[] = [
  [/^paged/, 0],
  [/^(lion|sgd).*8bit$/, 1.02],
  [/^ademamix.*8bit$/, 3.05],
  [/8bit$/, 2.03],
  [/^(adafactor|came)/, 0.1],
  [/^prodigy/, 16],
  [/^dadapt(sgd|lion)/, 8],
  [/^dadaptadan/, 20],
  [/^dadapt/, 12],
  [/^ademamix/, 12],
  [/^(lion|sgd|asgd|adagrad|muon)|schedulefreesgd|sgdschedulefree/, 4],
]

/** Bytes for each parameter, on the heap; eight, as Adam's, for a name that is not known. States in files do not count. */
export function stateBytes(optimizer: string): number {
  return rules.find(([name]) => name.test(optimizer.toLowerCase()))?.[1] ?? 8
}
