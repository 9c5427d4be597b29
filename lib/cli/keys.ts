/** A terminal's keyboard. */
export interface KeySource extends NodeJS.EventEmitter {
  readonly isTTY?: boolean | undefined
  setRawMode?(raw: boolean): unknown
  resume(): unknown
  pause(): unknown
}

const names: Readonly<Record<string, string>> = { '\u001b': 'escape', '\u0003': 'escape' }

/** Waits for one of some keys, by lower-case letter or `escape`, which Ctrl-C is too. Others are passed over. */
export function nextKey<Key extends string>(source: KeySource, keys: readonly Key[]): Promise<Key> {
  return new Promise((resolve) => {
    const onData = (data: Buffer | string): void => {
      const text = data.toString()
      const pressed = keys.find((key) => key === (names[text] ?? text.toLowerCase()))
      if (pressed === undefined) return
      source.off('data', onData)
      source.setRawMode?.(false)
      source.pause()
      resolve(pressed)
    }
    source.setRawMode?.(true)
    source.on('data', onData)
    source.resume()
  })
}
