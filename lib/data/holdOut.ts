/** Pictures that are not trained on but measured. */

import type { SubsetConfig } from '../config/datasetConfig.ts'
import { PhiloxStream } from '../util/philox.ts'
import type { ScannedSubset } from './scan.ts'

export interface HoldOut {
  /** Of the pictures of every subset but those of regularization, rounded to whole pictures; one at least stays. From 0 to 1. */
  readonly share: number
  /** Of the choice. */
  readonly seed: bigint | number
}

/** What stays to be trained on and what is held out of one dataset. A subset keeps the order of its pictures. */
export function holdOut(
  subsets: readonly ScannedSubset[],
  { share, seed }: HoldOut,
  dataset: number,
): { readonly train: readonly ScannedSubset[]; readonly heldOut: readonly ScannedSubset[] } {
  const parts = subsets.map((subset, index) => {
    const { config, images } = subset
    if (config.isReg) return { train: subset, heldOut: { ...subset, images: [] } }
    const random = new PhiloxStream(BigInt(seed), 'validation', 0, dataset, index)
    const order = random.shuffle(images.map((_, at) => at))
    const chosen = new Set(order.slice(0, Math.min(images.length - 1, Math.round(images.length * share))))
    return {
      train: { ...subset, images: images.filter((_, at) => !chosen.has(at)) },
      heldOut: { ...subset, config: unchanging(config), images: images.filter((_, at) => chosen.has(at)) },
    }
  })
  const withPictures = ({ images }: ScannedSubset): boolean => images.length > 0
  return {
    train: parts.map(({ train }) => train).filter(withPictures),
    heldOut: parts.map(({ heldOut }) => heldOut).filter(withPictures),
  }
}

/** Every picture once, always the same, with its whole caption. */
function unchanging(config: SubsetConfig): SubsetConfig {
  return {
    ...config,
    numRepeats: 1,
    shuffleCaption: false,
    captionDropoutRate: 0,
    captionDropoutEveryNEpochs: 0,
    captionTagDropoutRate: 0,
    tokenWarmupStep: 0,
    flipAug: false,
    colorAug: false,
    randomCrop: false,
    faceCropAugRange: undefined,
  }
}
