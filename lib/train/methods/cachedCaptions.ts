/** What methods share that encode captions once. */
import { ConfigError } from '../../util/errors.ts'
import type { CacheEvent, WarningEvent } from '../events.ts'
import type { CaptionEncoder } from '../inputs/conditioning.ts'
import { cachesFolder } from '../inputs/latentStore.ts'
import type { TextCache } from '../inputs/textCache.ts'
import { TextStore } from '../inputs/textStore.ts'
import type { TrainingContext } from '../method.ts'
import type { TrainConfig } from '../trainConfig.ts'

/** Whether a training encodes each caption once. */
export function cachesCaptions({ data }: Pick<TrainConfig, 'data'>): boolean {
  return data.cacheTextEncoderOutputs === true || data.cacheTextEncoderOutputsToDisk === true
}

/** What opens the files in which a training keeps encoded captions; null: it keeps them in memory. */
export function captionStore({
  config: { data },
  fileSystem,
}: TrainingContext): ((encoder: CaptionEncoder) => Promise<TextStore>) | null {
  if (data.cacheTextEncoderOutputsToDisk !== true) return null
  return (encoder) => TextStore.open(cachesFolder(data.cacheFolder), encoder, { fileSystem })
}

/** @throws ConfigError when captions shall be encoded once where that cannot be, for a reason that ends the sentence */
export function refuseCachedCaptions(config: Pick<TrainConfig, 'data'>, because: string): void {
  if (!cachesCaptions(config)) return
  const option = 'cacheTextEncoderOutputs'
  throw new ConfigError(`data.${option} cannot be: ${because}. Leave it out`, { option })
}

/**
 * Encodes every caption of a training that is not in the cache, those of pictures held out too.
 * @param release whether the text encoder is freed when nothing will need it any more
 */
export async function* fillCaptions(
  cache: TextCache,
  { group, models }: TrainingContext,
  { signal, release }: { readonly signal: AbortSignal | undefined; readonly release: boolean },
): AsyncGenerator<CacheEvent | WarningEvent, void, void> {
  yield* cache.fill(group, { signal })
  if (group.heldOut) yield* cache.fill(group.heldOut, { signal })
  if (!release || signal?.aborted) return
  cache.encoderReleased()
  models.release('textEncoder')
}
