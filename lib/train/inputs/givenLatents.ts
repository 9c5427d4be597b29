import { throwCollected } from '../../data/dataErrors.ts'
import type { DatasetGroup } from '../../data/datasetGroup.ts'
import { checkLatentFile } from '../../data/latentFiles.ts'
import type { Vae } from '../../models/stableDiffusion/vae.ts'
import { DataError } from '../../util/errors.ts'
import { mapLimited } from '../../util/mapLimited.ts'

/** Files opened at a time. */
const concurrency = 8

/**
 * Looks at the headers of all latents that pictures come with, so that a wrong file is found before a training and not in the middle.
 * @throws DataError naming every file that is damaged or holds no latent of its picture's training size
 */
export async function checkGivenLatents(
  { datasets, heldOut }: Pick<DatasetGroup, 'datasets' | 'heldOut'>,
  { reduction, config }: Pick<Vae, 'reduction' | 'config'>,
): Promise<void> {
  const images = [...datasets, ...(heldOut?.datasets ?? [])].flatMap((dataset) => dataset.images)
  const errors: DataError[] = []
  await mapLimited(images, concurrency, async ({ latents, subset, crop: { target } }) => {
    if (latents === undefined) return
    const [width, height] = [target.width / reduction, target.height / reduction]
    for (const flip of subset.flipAug ? [false, true] : [false])
      await checkLatentFile(latents, flip, { width, height, channels: config.latentChannels }).catch(
        (error: unknown) => {
          if (!(error instanceof DataError)) throw error
          errors.push(error)
        },
      )
  })
  throwCollected(errors.sort((a, b) => (a.path < b.path ? -1 : 1)))
}
