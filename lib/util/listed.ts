/** The first of some names for a message, and how many more there are: `a, b, and 3 more`. */
export function listed(names: readonly string[], shown = 5): string {
  const rest = names.length - shown
  return [...names.slice(0, shown), ...(rest > 0 ? [`and ${rest} more`] : [])].join(', ')
}
