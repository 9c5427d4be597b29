/** Names of devices on Windows, with any extension. */
const reserved = /^(con|prn|aux|nul|com[1-9¹²³]|lpt[1-9¹²³])(\..*)?$/i

/** Whether a text can be the name of a file on every system, and leads into no other folder. */
export function isFileName(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be in it
  return !/[/\\\u0000-\u001f]/.test(name) && !/^\.{0,2}$|[. ]$/.test(name) && !reserved.test(name)
}
