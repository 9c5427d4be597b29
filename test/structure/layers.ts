/**
 * The order of the folders of lib, highest first. A folder imports from lower rows. What it may import from its own row, and what
 * it may not import from below, is listed after it.
 */
export const layers: readonly (readonly string[])[] = [
  ['cli'],
  ['debugDataset', 'dashboard', 'doctor'],
  ['train', 'demo', 'prepare'],
  ['data', 'metadata', 'checkpoints', 'preview'],
  ['models', 'diffusion', 'networks', 'optim'],
  ['nn'],
  ['ops'],
  ['autograd'],
  ['tensor'],
  ['native'],
  ['hub', 'io', 'config'],
  ['util'],
]

/** Imports inside a row, each with its reason. */
export const sideways: readonly { readonly from: string; readonly to: string; readonly because: string }[] = [
  { from: 'demo', to: 'train', because: 'the demo is one training' },
  { from: 'prepare', to: 'train', because: 'latents are made beforehand as a training makes them' },
  { from: 'preview', to: 'checkpoints', because: 'previews are drawn from the file that was just written' },
  { from: 'models', to: 'diffusion', because: 'a model states what its U-Net predicts' },
  { from: 'hub', to: 'io', because: 'a download ends as a file' },
  { from: 'networks', to: 'models', because: 'a LoRA stands beside the layers of a model' },
]

/** Folders that must work without the addon, but for what loads it when it is called: what they may import, whatever stands below them. */
export const only: Readonly<Record<string, readonly string[]>> = {
  config: ['util'],
  io: ['util'],
  hub: ['io', 'util'],
  data: ['config', 'io', 'metadata', 'native', 'util'], // native: to resize pictures
  metadata: ['config', 'io', 'util'],
}

/** Packages small enough to be loaded with the library. All others are loaded where they are used, with `await import()`. */
export const packagesLoadedAtImport: readonly string[] = ['fastest-levenshtein']

/** Whether a file of the folder `from` may import one of the folder `to`. */
export function mayImport(from: string, to: string): boolean {
  if (from === to) return true
  const allowed = only[from]
  if (allowed !== undefined) return allowed.includes(to)
  const row = (folder: string): number => layers.findIndex((folders) => folders.includes(folder))
  return row(from) < row(to) || sideways.some((link) => link.from === from && link.to === to)
}
