import type { TrainEvent } from './events.ts'
import type { TrainingKind } from './method.ts'
import type { TrainingOptions } from './openTraining.ts'
import type { TrainConfig } from './trainConfig.ts'
import { Trainer } from './trainer.ts'

/**
 * Trains from a configuration to files. Nothing happens until the first event is asked for; leaving the loop early frees everything.
 * @throws ConfigError, DataError, CheckpointError, IoError or NativeError; what had been written stays
 */
export async function* train<Config extends TrainConfig>(
  kind: TrainingKind<Config>,
  config: Config,
  options: TrainingOptions = {},
): AsyncGenerator<TrainEvent> {
  const trainer = await Trainer.open(kind, config, options)
  try {
    yield* trainer.run()
  } finally {
    trainer.dispose()
  }
}
