/** Numbers as people read them. */

/** `12.3 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB']
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)))
  return power === 0 ? `${bytes} bytes` : `${(bytes / 1024 ** power).toFixed(1)} ${units[power]}`
}

/** `1:02:03`, `2:03`. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?'
  const whole = Math.max(0, Math.round(seconds))
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  const shown = parts[0] === 0 ? parts.slice(1) : parts
  return shown.map((part, at) => (at === 0 ? String(part) : String(part).padStart(2, '0'))).join(':')
}

/** `2.35 steps/s`, or `3.1 s/step` when slower. */
export function formatRate(stepsPerSecond: number): string {
  if (!(stepsPerSecond > 0) || !Number.isFinite(stepsPerSecond)) return '? steps/s'
  return stepsPerSecond >= 1 ? `${stepsPerSecond.toFixed(2)} steps/s` : `${(1 / stepsPerSecond).toFixed(2)} s/step`
}

export function formatLoss(loss: number): string {
  return loss.toFixed(4)
}

/** `1.00e-4`, or by group where they differ: `textencoder 5.00e-5 unet 1.00e-4`. */
export function formatLearningRates(rates: Readonly<Record<string, number>>): string {
  const values = new Set(Object.values(rates))
  if (values.size === 1) return [...values][0]!.toExponential(2)
  return Object.entries(rates)
    .map(([group, rate]) => `${group} ${rate.toExponential(2)}`)
    .join(' ')
}

export function formatCount(count: number, noun: string): string {
  return `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`
}

/** A text from a file on one line: characters that steer a terminal are shown by their numbers. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) =>
    character === '\n' ? '\\n' : `\\u{${character.codePointAt(0)!.toString(16)}}`,
  )
}
