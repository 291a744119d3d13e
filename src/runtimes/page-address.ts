/** What relative addresses are relative to: the page, in its workers too. */
let given: string | undefined;

/** In a worker: where its page is. */
export function setPageAddress(href: string): void {
  given = href;
}

export function pageAddress(): string {
  return given ?? location.href;
}
