/** Devices as users write them. */

export type DeviceText = 'cpu' | 'cuda' | `cuda:${number}`

/** What is expected where a device is asked for. */
export const expectedDevice = 'cpu, cuda, or cuda:1 and so on where there are several GPUs'

/** A device in any case of letters; undefined where the text is none. Whether it is there is another question. */
export function readDevice(text: string): DeviceText | undefined {
  const value = text.trim().toLowerCase()
  return /^(cpu|cuda(:(0|[1-9]\d{0,2}))?)$/.test(value) ? (value as DeviceText) : undefined
}
