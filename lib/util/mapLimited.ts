/**
 * Maps `values` through an async function with at most `limit` calls under way, results in the order of `values`.
 * The first rejection rejects the whole and starts no further call.
 */
export async function mapLimited<T, R>(
  values: readonly T[],
  limit: number,
  map: (value: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results = new Array<R>(values.length)
  let next = 0
  let failed = false
  const work = async (): Promise<void> => {
    while (next < values.length && !failed) {
      const index = next++
      try {
        results[index] = await map(values[index]!, index)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, values.length) }, work))
  return results
}
