/** Where the state lies that a training goes on from. */
import { resolveHubFolder } from '../../hub/resolveHubFolder.ts'
import { ArgumentError, ConfigError } from '../../util/errors.ts'
import type { TrainingOptions } from '../openTraining.ts'
import type { TrainConfig } from '../trainConfig.ts'

/**
 * The folder of the state; one of the hub is downloaded first, or found in the cache. Null: the training begins anew.
 * @throws ConfigError when the hub has no such names; what `resolveHubFolder` throws
 */
export async function resumeFolder(
  { state, hub }: TrainConfig,
  { signal, onDownload }: TrainingOptions,
): Promise<string | null> {
  const resume = state?.resume ?? null
  if (resume === null || hub?.resume !== true) return resume
  try {
    const { path } = await resolveHubFolder(resume, { token: hub.token ?? undefined, signal, onProgress: onDownload })
    return path
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error
    throw new ConfigError(`--resume with --resume_from_huggingface: ${error.message}`, { option: 'resume' })
  }
}
