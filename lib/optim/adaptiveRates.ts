/** What users should hear about the learning rates they gave to an optimizer that finds its own step size. */

const percent = (share: number): string => `${Number((100 * share).toPrecision(4))} %`

/**
 * What happens to groups whose learning rates differ, in a sentence or two; null when they do not. Rates of 0 freeze their group
 * and do not count.
 * @param names of the groups, for the message. Default: group 1, group 2 ...
 */
export function describeUnequalRates(
  optimizer: string,
  rates: readonly number[],
  names: readonly (string | undefined)[] = [],
): string | null {
  const stepped = rates.flatMap((rate, i) => (rate > 0 ? [{ rate, name: names[i] ?? `group ${i + 1}` }] : []))
  const largest = Math.max(0, ...rates)
  if (stepped.every(({ rate }) => rate === largest)) return null
  const shares = stepped.map(({ rate, name }) => `${name} (${rate}) ${percent(rate / largest)}`).join(', ')
  return (
    `${optimizer} finds one step size d for all parameters, so learning rates that differ are shares of it: the largest, ` +
    `${largest}, multiplies d, and each group's steps, and its part in the estimate of d, are scaled by its rate over that one. ` +
    `Here: ${shares}. The original packages refuse such rates, or use the first one for all groups.`
  )
}

/** Below this a learning rate was probably meant for another optimizer. */
const lowRate = 0.1

/** A warning when the first learning rate is one for ordinary optimizers; null when it is not. */
export function describeLowRate(optimizer: string, rates: readonly number[]): string | null {
  const rate = rates.find((each) => each > 0)
  if (rate === undefined || rate > lowRate) return null
  return (
    `${optimizer} finds its own step size d and multiplies it by the learning rate, so ${rate} makes every step ${rate} times as ` +
    'long as it found best: use a learning rate of about 1.'
  )
}
