/** Trainings on a GPU that is emulated, and what is left of them to compare. */
import type { OptimizerParameter } from '../../lib/optim/optimizer.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import type { DeviceName } from '../../lib/tensor/tensor.ts'
import type { TrainingKind } from '../../lib/train/method.ts'
import type { TrainConfig } from '../../lib/train/trainConfig.ts'
import { Trainer } from '../../lib/train/trainer.ts'
import { numbers } from './opSuite.ts'

const devices: readonly DeviceName[] = ['cpu', 'cuda']

/** Storages that exist on each device, once everything enqueued has run. */
export async function liveBuffers(): Promise<number[]> {
  const counts: number[] = []
  for (const device of devices) {
    const fence = tensor([0], [1], { device })
    await fence.read()
    fence.dispose()
    await new Promise((resolve) => setImmediate(resolve))
    counts.push(memory(device).liveBuffers)
  }
  return counts
}

/** A run: its losses, and the values of all that learns. */
export interface Trained {
  readonly losses: readonly number[]
  readonly before: readonly ArrayLike<number>[]
  readonly after: readonly ArrayLike<number>[]
  /** Most bytes that CUDA graphs had. */
  readonly graphBytes: number
  /** Warnings about CUDA graphs. */
  readonly graphWarnings: readonly string[]
}

/** Trains to the end. @param look is shown what learns before it is freed */
export async function trained<Config extends TrainConfig>(
  kind: TrainingKind<Config>,
  config: Config,
  look: (params: readonly OptimizerParameter[]) => void = () => {},
): Promise<Trained> {
  const trainer = await Trainer.open(kind, config)
  const read = () =>
    Promise.all(trainer.method.groups.flatMap(({ params }) => params.map(({ master }) => numbers(master))))
  try {
    const before = await read()
    const losses: number[] = []
    const graphWarnings: string[] = []
    let graphBytes = 0
    for await (const event of trainer.run()) {
      if (event.type === 'step') losses.push(event.loss)
      if (event.type === 'warning' && event.message.includes('graph')) graphWarnings.push(event.message)
      graphBytes = Math.max(graphBytes, memory('cuda').reservedBytes)
    }
    const after = await read()
    look(trainer.method.groups.flatMap(({ params }) => params))
    return { losses, before, after, graphBytes, graphWarnings }
  } finally {
    trainer.dispose()
  }
}

/** Losses and trained values, bit by bit. */
export function bytesOf({ losses, after }: Trained): string[] {
  return [losses, ...after].map((values) => Buffer.from(Float64Array.from(values).buffer).toString('base64'))
}
