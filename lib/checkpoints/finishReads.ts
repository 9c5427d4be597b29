import { tensor } from '../tensor/create.ts'

/**
 * Makes something whose tensors are read from files, and waits for the reads: failures of the device show at the next wait, and
 * the files may be closed after it.
 * @throws what the reads threw; what was made is disposed
 */
export async function finishReads<Made extends { dispose(): void }>(make: () => Made): Promise<Made> {
  const made = make()
  const fence = tensor([0], [1])
  try {
    await fence.read()
    return made
  } catch (error) {
    made.dispose()
    throw error
  } finally {
    fence.dispose()
  }
}
