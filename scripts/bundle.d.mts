/** The repository's root. */
export const root: string
/** See bundle.mjs. */
export function bundle(name: string, entries: Readonly<Record<string, string>>): Promise<string>
