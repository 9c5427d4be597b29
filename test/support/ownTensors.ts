import { afterEach, beforeEach, expect } from 'vitest'
import { randomNormal } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { baselineBuffers, liveBuffers } from './device.ts'

/** What one test makes; freed after it. */
export interface OwnTensors {
  /** Hands `item` over. */
  track<T extends { dispose(): void }>(item: T): T
  /** A tracked tensor of normal numbers. */
  normal(shape: readonly number[], seed: number): Tensor
}

/** Called at the top of a test file: every test of it frees what it made, and fails when anything else stays alive. */
export function ownTensors(): OwnTensors {
  let made: { dispose(): void }[] = []
  let baseline = 0
  beforeEach(async () => {
    baseline = await baselineBuffers()
    made = []
  })
  afterEach(async () => {
    for (const item of made) item.dispose()
    expect(await liveBuffers(), 'live buffers').toBe(baseline)
  })
  const track = <T extends { dispose(): void }>(item: T): T => {
    made.push(item)
    return item
  }
  return { track, normal: (shape, seed) => track(randomNormal(shape, { seed })) }
}
