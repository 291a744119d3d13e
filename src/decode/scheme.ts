/** The scheme of a URL; `undefined` for a path, Windows's with a drive too. */
export function schemeOf(address: string): string | undefined {
  return /^([a-z][a-z0-9+.-]+):/i.exec(address)?.[1]?.toLowerCase();
}
