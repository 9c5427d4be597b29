import type { Addon } from './addon.ts'
import { loadAddon } from './find.ts'

/** The addon of this process, loaded on first import. */
export const addon: Addon = loadAddon()
