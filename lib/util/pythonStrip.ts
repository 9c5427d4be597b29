/** What Python takes for white space: not quite what JavaScript does, for which a byte order mark is one and U+001C is none. */
const spaces = new Set(
  '\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000',
)

/** Python's `text.strip()`. */
export function pythonStrip(text: string): string {
  let [start, end] = [0, text.length]
  while (start < end && spaces.has(text[start]!)) start++
  while (end > start && spaces.has(text[end - 1]!)) end--
  return text.slice(start, end)
}
